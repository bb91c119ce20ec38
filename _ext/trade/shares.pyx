"""What each source may take of the account: positions at once, exposure, loss of the day, and whether it trades at all."""
from libc.stdint cimport int64_t
from _ext.core.reasons cimport PASS, SOURCE_EXPOSURE, SOURCE_LOSS, SOURCE_OFF, SOURCE_POSITIONS, Reason
from _ext.core.records cimport GateDecision


cdef inline Reason no(GateDecision* out, Reason reason, double measured, double limit) noexcept nogil:
    out.reason, out.measured, out.limit = reason, measured, limit
    return reason


cdef Reason check_share(const Share* share, int64_t positions, int64_t exposure, int64_t open_result, double value, double equity,
                        GateDecision* out) noexcept nogil:
    """PASS, or the first limit of a source against an entry of `value` (paise) beside the `positions` it has, which are worth
    `exposure` and stand at `open_result` (paise). Comparisons are written so that NaN fails."""
    cdef double loss
    if not share.is_on:
        return no(out, SOURCE_OFF, 0, 1)
    if positions >= share.positions:
        return no(out, SOURCE_POSITIONS, <double>positions, <double>share.positions)
    if not equity > 0.0:
        return no(out, SOURCE_EXPOSURE, 1, share.exposure)
    if not (<double>exposure + value) <= share.exposure * equity:
        return no(out, SOURCE_EXPOSURE, (<double>exposure + value) / equity, share.exposure)
    loss = -<double>(share.result + open_result) / equity
    if not loss < share.daily_loss:
        return no(out, SOURCE_LOSS, loss, share.daily_loss)
    return PASS


def judge(limits, state, double value, double equity) -> tuple:
    """(reason, measured, limit) of a check: `limits` (positions, exposure, daily_loss, is_on), `state` (positions, exposure in
    paise, realised less charges, open)."""
    cdef Share share
    cdef GateDecision out
    share.positions, share.exposure, share.daily_loss, share.is_on = limits
    share.result = state[2]
    out.measured = out.limit = 0.0
    return check_share(&share, state[0], state[1], state[3], value, equity, &out), out.measured, out.limit
