"""The strategy every side trades, as this engine has it: a cross of two means of one-minute closes, in and out at the market."""
import engine


class Cross(engine.Strategy):
    timeframes = (1,)
    fast, slow = 9, 21

    class Parameters(engine.Parameters):
        is_idle: bool = False                # called, and does nothing

    def on_bar(self, instrument, minutes, bars):
        close = bars.close
        if self.parameters.is_idle or len(close) <= self.slow:
            return
        now = close[-self.fast:].mean() - close[-self.slow:].mean()
        before = close[-self.fast - 1:-1].mean() - close[-self.slow - 1:-1].mean()
        if now * before >= 0:
            return
        if self.position(instrument) is not None:
            self.exit(instrument, "crossed back")
        else:
            self.candidate(instrument, 1 if now > 0 else -1, reason="means crossed")
