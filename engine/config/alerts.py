"""Settings of alerts. Where they go to is a secret and stands elsewhere: ENGINE_ALERTS_URLS, or the file of mode 600 that
ENGINE_ALERTS_FILE names."""
from typing import Literal

from engine.config.limits import Section, setting


class Alerts(Section):
    """When an alert fires and how often it is told; docs/alerts.md has each of them."""
    least: Literal["note", "warn", "page"] = setting("warn", "choice", "the least severity that is sent; the page shows all")
    trades: bool = setting(True, "yes or no", "each closed trade is told, realised and after charges")
    chats: bool = setting(False, "yes or no", "chats of tgram:// addresses may ask: status, positions, pause, resume, flatten")
    recoveries: bool = setting(True, "yes or no", "that an alert is over is told too")
    again_s: float = setting(900, "s", "an alert that comes back sooner is shown and not sent", ge=0, le=86_400)
    per_hour: int = setting(30, "count", "messages of one hour at most; beyond it one says that more are only on the page", ge=1,
                            le=1000)
    loss: float = setting(0.01, "share", "of equity; a loss of the day of more than this", gt=0, le=1)
    losing_streak: int = setting(4, "count", "losing trades in a row", ge=1, le=1000)
    feed_s: float = setting(10, "s", "of market time without a frame or without a connection, in session", gt=0, le=3600)
    stream_s: float = setting(15, "s", "without the stream of order updates, in session", gt=0, le=3600)
    answers: int = setting(3, "count", "requests without a clear answer within five minutes", ge=1, le=1000)
    rejections: int = setting(3, "count", "orders turned down within ten minutes", ge=1, le=1000)
    unprotected_s: float = setting(5, "s", "a position may be without its stop", ge=0, le=3600)
    silent_s: float = setting(10, "s", "without a sign of life of the engine", gt=3, le=3600)
    store_lag_s: float = setting(60, "s", "age of the oldest update that is not in ClickHouse", gt=0, le=86_400)
    model_days: float = setting(90, "days", "age of the active model", gt=0, le=3650)
    token_s: float = setting(3600, "s", "before the token expires, in session or within this time of it", gt=0, le=86_400)
    disk_free: float = setting(2e9, "bytes", "less free on the disk of the run", ge=0, le=1e15)
    disk_full_s: float = setting(14_400, "s", "until the disk is full at the pace of the last minutes", gt=0, le=864_000)
    heartbeat_s: float = setting(60, "s", "between two signs of life to the outside address, where one is given", ge=5, le=3600)
