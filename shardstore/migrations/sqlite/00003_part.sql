-- +goose Up
-- The partitions this shard has to do with. state 0: it serves the partition. Other states, and peer, the number of the
-- shard at the other end, belong to moving a partition.
CREATE TABLE IF NOT EXISTS part (
    pid   INTEGER NOT NULL PRIMARY KEY,
    state INTEGER NOT NULL,
    peer  INTEGER
) STRICT;
