-- +goose Up
-- One row: the sequencer of this shard (counter) and its fence (map_epoch).
CREATE TABLE IF NOT EXISTS shard (
    id        TINYINT  NOT NULL PRIMARY KEY CHECK (id = 1),
    number    SMALLINT NOT NULL,
    map_epoch BIGINT   NOT NULL,
    counter   BIGINT   NOT NULL,
    user_rev  BIGINT   NOT NULL
) ENGINE = InnoDB;
