"""ClickHouse's own configuration of the embedded database: who may do what, in files only the owner reads.

chDB has one user. It is granted what the store does in its own database; table functions over files and networks, other engines,
dictionaries, BACKUP and other databases are then refused by ClickHouse itself. chDB grants reading system tables to everyone.
"""
import os
from pathlib import Path
from xml.sax.saxutils import escape

from engine.trail.rundir import RunError

DATABASE = "spike"
GRANTS = ("SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, TRUNCATE, OPTIMIZE, SHOW "
          f"ON {DATABASE}.*")
USERS = f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users><default>
    <no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
    <grants><query>GRANT {GRANTS}</query></grants>
  </default></users>
</clickhouse>
"""


def connection(folder: Path) -> str:
    """The connection string of the database in `folder`, its configuration written anew. Raises RunError where the path cannot
    stand in one."""
    if set("?&#") & set(str(folder)):
        raise RunError(f"{folder}: a database's folder cannot have ?, & or # in its path; choose another with --run-dir")
    users, config = folder / "users.xml", folder / "config.xml"
    _write(users, USERS)
    _write(config, f"<clickhouse><user_directories><users_xml><path>{escape(str(users))}</path></users_xml></user_directories>"
                   "</clickhouse>\n")
    return f"{folder / 'data'}?config-file={config}"


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(".new")
    with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
    os.replace(temporary, path)
