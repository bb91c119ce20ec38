"""What is planted stands where it says, and leaves everything else as it was."""
import numpy as np
import pytest

from engine.lab import inject as work
from engine.lab.dataset import generated_day
from engine.lab.inject import ARTEFACTS, GENUINE, HELD_OUT, INJECTORS, inject
from engine.market import sessions


@pytest.fixture(scope="module")
def day():
    return generated_day(3, 0, 4, minutes=90)[0]


def planted(day, kinds, seed=1, every=600.0):
    a, v = (x[:90] for x in sessions.profile(day.day))
    return inject(day.rows, day.received, day.specs, sessions.epoch_ms(day.day), a, v, seed, kinds, every)


def test_every_kind_can_be_planted_and_says_where(day):
    before = day.rows.copy()
    for kind in INJECTORS:
        rows, received, found = planted(day, (kind,))
        assert len(found) >= 8, kind
        assert {p.kind for p in found} == {kind} and (np.diff(received) >= 0).all()
        for p in found:
            mine = rows["key"] == day.specs[p.inst].key.encode()
            assert p.begin <= p.end and (received[mine] <= p.end).any()
    assert (before.view(np.uint8) == day.rows.view(np.uint8)).all()
    assert set(INJECTORS) == {*ARTEFACTS, *HELD_OUT, *GENUINE} and not set(ARTEFACTS) & set(HELD_OUT)


@pytest.mark.parametrize("kind", ["bad_print", "sweep", "wide", "vtt_jump", "spike", "fast", "flicker"])
def test_volume_never_falls_and_trades_never_go_back(day, kind):
    rows, _, _ = planted(day, (kind,))
    for spec in day.specs:
        mine = rows[rows["key"] == spec.key.encode()]
        assert (np.diff(mine["vtt"]) >= 0).all() and (np.diff(mine["ltt"]) >= 0).all()
        assert (mine["ltp"] % spec.tick == 0).all()


def test_outside_of_what_is_planted_prices_are_as_they_were(day):
    rows, received, found = planted(day, ("bad_print", "wide", "one_sided"))
    for inst, spec in enumerate(day.specs):
        a, b = rows[rows["key"] == spec.key.encode()], day.rows[day.rows["key"] == spec.key.encode()]
        t = received[rows["key"] == spec.key.encode()]
        apart = np.ones(len(a), bool)
        for p in found:
            if p.inst == inst:
                apart &= ~((t >= p.begin) & (t <= p.end + 5000))
        assert len(a) == len(b) and apart.sum() > len(a) / 2
        assert (a["ltp"][apart] == b["ltp"][apart]).all()
        assert (a["levels"]["bidP"][apart] == b["levels"]["bidP"][apart]).all()


def test_a_spike_is_as_large_as_asked_and_the_book_goes_along(day):
    size = 10.0

    def plant(name, i, now, rng):
        plant.moments.append((name.spec, int(name.received[i]), now))
        return work.spike(name, i, now, rng, size, 30.0, 6.0), size

    plant.moments = []
    with work.more({"ten": plant}):
        rows, _, found = planted(day, ("ten",), every=2400.0)
    assert "ten" not in INJECTORS and found
    for spec, at, now in plant.moments:
        mine = rows["key"] == spec.key.encode()
        before = day.rows[(day.rows["key"] == spec.key.encode())]
        t = day.received[day.rows["key"] == spec.key.encode()]
        first, k = np.searchsorted(t, at) - 1, slice(*np.searchsorted(t, [at + 30_000, at + 40_000]))
        trades = np.log(rows["ltp"][mine] / before["ltp"])
        quotes = np.log(rows["levels"]["bidP"][mine][:, 0] / before["levels"]["bidP"][:, 0])
        moved, book = (np.abs(x[k] - x[first]).max() for x in (trades, quotes))
        assert 0.8 < book / (size * now.s1m) < 1.1 and 0.6 < moved / (size * now.s1m) < 1.1      # some is given back at once


def test_the_moment_is_measured_as_the_detector_measures_it(day):
    """s1m and expected volume against the core's own, at each candidate."""
    from engine.lab.dataset import undisturbed

    a, v = (x[:90] for x in sessions.profile(day.day))
    records, checked = undisturbed(day, 0.4), 0
    for record in records:
        spec = day.specs[int(record["inst"])]
        mine = day.rows["key"] == spec.key.encode()
        name = work.Name(day.rows[mine], day.received[mine], spec, a, v, sessions.epoch_ms(day.day))
        now = name.moment(int(record["now"]) // 1_000_000)
        if now is not None:
            assert now.s1m == pytest.approx(record["s1m"], rel=0.25)
            assert now.volume == pytest.approx(record["expected"], rel=0.25)
            checked += 1
    assert checked >= 5
