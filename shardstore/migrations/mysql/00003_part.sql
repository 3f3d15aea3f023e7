-- +goose Up
-- The partitions this shard has to do with. state 0: it serves the partition. Other states, and peer, the number of the
-- shard at the other end, belong to moving a partition.
CREATE TABLE IF NOT EXISTS part (
    pid   INT      NOT NULL PRIMARY KEY,
    state TINYINT  NOT NULL,
    peer  SMALLINT
) ENGINE = InnoDB;
