-- +goose Up
-- inbox_from and bcast_from are where a user's first device starts: the seq the user's own creation took, and the newest
-- seq of the shard of % just before it. So nobody reads what was sent to an earlier user of the same name.
CREATE TABLE IF NOT EXISTS users (
    userid     BLOB    NOT NULL PRIMARY KEY,
    pid        INTEGER NOT NULL,
    username   BLOB    NOT NULL,
    password   BLOB    NOT NULL,
    inbox_from INTEGER NOT NULL,
    bcast_from INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
