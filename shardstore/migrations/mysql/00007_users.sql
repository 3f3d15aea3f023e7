-- +goose Up
-- inbox_from and bcast_from are where a user's first device starts: the seq the user's own creation took, and the newest
-- seq of the shard of % just before it. So nobody reads what was sent to an earlier user of the same name.
CREATE TABLE IF NOT EXISTS users (
    userid     VARBINARY(64)  NOT NULL PRIMARY KEY,
    pid        INT            NOT NULL,
    username   VARBINARY(64)  NOT NULL,
    password   VARBINARY(255) NOT NULL,
    inbox_from BIGINT         NOT NULL,
    bcast_from BIGINT         NOT NULL
) ENGINE = InnoDB;
