"""The strategy every side trades, as this engine has it: a cross of two means of one-minute closes, in and out at the market."""
import engine


class Cross(engine.Strategy):
    timeframes = (1,)
    fast, slow = 9, 21

    class Parameters(engine.Parameters):
        is_idle: bool = False                # called, and does nothing

    def on_bar(self, instrument, minutes, bars):
        fast, slow = self.fast, self.slow
        if self.parameters.is_idle or len(bars) <= slow:
            return
        close = bars.close[-slow - 1:].tolist()            # of so few numbers a list has its sum sooner than numpy
        now = sum(close[-fast:]) / fast - sum(close[1:]) / slow
        before = sum(close[-fast - 1:-1]) / fast - sum(close[:-1]) / slow
        if now * before >= 0:
            return
        if self.position(instrument) is not None:
            self.exit(instrument, "crossed back")
        else:
            self.candidate(instrument, 1 if now > 0 else -1, reason="means crossed")
