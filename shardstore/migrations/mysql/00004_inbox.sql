-- +goose Up
-- The messages. userid is the mailbox, % for everyone. Keys are bytes, so that no collation has a say.
CREATE TABLE IF NOT EXISTS inbox (
    seq       BIGINT        NOT NULL PRIMARY KEY,
    pid       INT           NOT NULL,
    userid    VARBINARY(64) NOT NULL,
    msg_id    VARBINARY(64) NOT NULL,
    from_user VARBINARY(64) NOT NULL,
    from_name VARBINARY(64) NOT NULL,
    sent_ms   BIGINT        NOT NULL,
    body      MEDIUMBLOB    NOT NULL,
    UNIQUE KEY inbox_id (msg_id, from_user, userid),
    KEY inbox_mailbox (userid, seq)
) ENGINE = InnoDB;
