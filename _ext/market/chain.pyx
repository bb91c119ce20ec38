"""Option chains: open interest and volume of calls and puts, and the volatility at the money, of each underlying.

A contract's volatility and Greeks are the feed's where it sends them, else Black-Scholes of its last price on its underlying's,
with the feed's own conventions: no interest, 365 days a year, expiry at half past three (tests/market/test_greeks.py shows that).
The volatility at the money is the mean of the call's and the put's at the strike nearest to the underlying, nearest expiry; the
strike is chosen anew when the underlying begins a minute.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free

from _ext.core.clock cimport DAY_NS
from _ext.core.records cimport Instrument
from _ext.core.tick cimport HAS_FIRST, HAS_FULL, HAS_GREEKS, NO_INST, Tick
from _ext.market.greeks cimport fill_greeks, implied_vol

cdef int64_t EXPIRY_NS = 36000000000000       # 15:30 in India, after midnight UTC
cdef double YEAR_NS = 365.0 * 86400e9


cdef class Chains:
    """Chains of `capacity` instruments; MemoryError when the arrays cannot be had."""

    def __cinit__(self, uint32_t capacity):
        cdef uint32_t i
        self.capacity = capacity
        self.options = <Option*>calloc(capacity, sizeof(Option))
        self.chains = <Chain*>calloc(capacity, sizeof(Chain))
        if self.options == NULL or self.chains == NULL:
            raise MemoryError(f"no memory for the chains of {capacity} instruments")
        for i in range(capacity):
            self.options[i].under = self.options[i].next = NO_INST
            self.chains[i].first = self.chains[i].call = self.chains[i].put = NO_INST

    def __dealloc__(self):
        free(self.options)
        free(self.chains)

    cdef void add(self, uint32_t inst, const Instrument* spec) noexcept nogil:
        cdef Option* o = &self.options[inst]
        if spec.right == 0 or spec.under >= self.capacity or spec.strike <= 0:
            return
        o.under, o.right, o.strike = spec.under, spec.right, spec.strike
        o.expires = spec.expiry * DAY_NS + EXPIRY_NS
        o.next = self.chains[spec.under].first
        self.chains[spec.under].first = inst

    cdef void choose(self, uint32_t under, int64_t price, int64_t now) noexcept nogil:
        """Picks the strike at the money: the nearest of the expiry that is next."""
        cdef Chain* c = &self.chains[under]
        cdef Option* o
        cdef uint32_t i = c.first
        cdef int64_t expires = 0, distance, best = 0
        while i != NO_INST:
            o = &self.options[i]
            if o.expires > now and (expires == 0 or o.expires < expires):
                expires = o.expires
            i = o.next
        c.call = c.put = NO_INST
        i = c.first
        while i != NO_INST:
            o = &self.options[i]
            if o.expires == expires:
                distance = o.strike - price if o.strike > price else price - o.strike
                if (c.call == NO_INST and c.put == NO_INST) or distance < best or (distance == best and o.strike < c.strike):
                    best = distance
                    c.strike = o.strike
                    c.call = c.put = NO_INST
                if o.strike == c.strike:
                    if o.right > 0:
                        c.call = i
                    else:
                        c.put = i
            i = o.next

    cdef double at_the_money(self, const Chain* c) noexcept nogil:
        """Mean volatility of the call and the put there, or the one that is known; 0: neither."""
        cdef double call = self.options[c.call].iv if c.call != NO_INST else 0.0
        cdef double put = self.options[c.put].iv if c.put != NO_INST else 0.0
        return 0.5 * (call + put) if call > 0.0 and put > 0.0 else call + put

    cdef double on_tick(self, uint32_t inst, const Tick* t, int64_t price, int64_t now, bint traded) noexcept nogil:
        """Takes an update of a contract whose underlying trades at `price`; its volatility, 0 where it is not known."""
        cdef Option* o = &self.options[inst]
        cdef Chain* c
        cdef double years, more
        if o.under == NO_INST:
            return 0.0
        c = &self.chains[o.under]
        if t.has & (HAS_FULL | HAS_FIRST):
            if t.oi >= 0.0 and t.oi < 1e15:
                more = t.oi - o.open_interest
                o.open_interest = t.oi
                if o.right > 0:
                    c.call_interest += more
                else:
                    c.put_interest += more
            if <double>t.vtt > o.volume:
                more = <double>t.vtt - o.volume
                o.volume = <double>t.vtt
                if o.right > 0:
                    c.call_volume += more
                else:
                    c.put_volume += more
        if t.has & (HAS_FULL | HAS_FIRST) and t.iv > 0.0:
            o.iv = t.iv
            o.computed = 0
            if t.has & HAS_GREEKS:
                o.seen = now
                o.greeks.price = <double>t.ltp
                o.greeks.delta, o.greeks.gamma, o.greeks.theta = t.delta, t.gamma, t.theta
                o.greeks.vega, o.greeks.rho = t.vega, t.rho
        elif traded and price > 0 and t.ltp > 0 and o.expires > now:
            years = <double>(o.expires - now) / YEAR_NS
            o.iv = implied_vol(<double>t.ltp, <double>price, <double>o.strike, years, 0.0, 0.0, o.right > 0)
            if not o.iv > 0.0:
                o.iv = 0.0
            o.computed = 1
            o.seen = now if o.iv > 0.0 else 0
            # in rupees, as the feed has them
            fill_greeks(0.01 * <double>price, 0.01 * <double>o.strike, years, 0.0, 0.0, o.iv, o.right > 0, False, &o.greeks)
        if inst == c.call or inst == c.put:
            c.iv = self.at_the_money(c)
        return o.iv

    def view(self, uint32_t under) -> dict:
        """One underlying's chain: put/call ratios, strike and volatility at the money, and every contract by row."""
        if under >= self.capacity:
            raise IndexError(f"instrument {under}: there are {self.capacity}")
        chain = self.chains[under]
        contracts, i = {}, chain.first
        while i != NO_INST:
            contracts[i] = self.options[i]
            i = self.options[i].next
        return {"strike": chain.strike, "iv": chain.iv, "call": chain.call, "put": chain.put,
                "pcr": chain.put_interest / chain.call_interest if chain.call_interest else None,
                "pcr_volume": chain.put_volume / chain.call_volume if chain.call_volume else None,
                "open_interest": chain.call_interest + chain.put_interest, "contracts": contracts}
