-- +goose Up
-- How far each device has read.
CREATE TABLE IF NOT EXISTS `cursor` (
    userid    VARBINARY(64) NOT NULL,
    device    VARBINARY(64) NOT NULL,
    session   BIGINT        NOT NULL,
    inbox_seq BIGINT        NOT NULL,
    bcast_seq BIGINT        NOT NULL,
    seen_at   BIGINT        NOT NULL,
    PRIMARY KEY (userid, device)
) ENGINE = InnoDB;
