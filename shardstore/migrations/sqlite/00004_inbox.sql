-- +goose Up
-- The messages. userid is the mailbox, % for everyone. body is last, so that reading (seq, userid) never touches it.
CREATE TABLE IF NOT EXISTS inbox (
    seq       INTEGER NOT NULL PRIMARY KEY,
    pid       INTEGER NOT NULL,
    userid    BLOB    NOT NULL,
    msg_id    BLOB    NOT NULL,
    from_user BLOB    NOT NULL,
    from_name BLOB    NOT NULL,
    sent_ms   INTEGER NOT NULL,
    body      BLOB    NOT NULL,
    UNIQUE (msg_id, from_user, userid)
) STRICT;
