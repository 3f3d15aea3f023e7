-- +goose Up
-- How far each device has read.
CREATE TABLE IF NOT EXISTS cursor (
    userid    BLOB    NOT NULL,
    device    BLOB    NOT NULL,
    session   INTEGER NOT NULL,
    inbox_seq INTEGER NOT NULL,
    bcast_seq INTEGER NOT NULL,
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (userid, device)
) STRICT, WITHOUT ROWID;
