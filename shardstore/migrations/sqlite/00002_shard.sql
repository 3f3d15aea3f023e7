-- +goose Up
-- One row: the sequencer of this shard (counter) and its fence (map_epoch).
CREATE TABLE IF NOT EXISTS shard (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    number    INTEGER NOT NULL,
    map_epoch INTEGER NOT NULL,
    counter   INTEGER NOT NULL,
    user_rev  INTEGER NOT NULL
) STRICT;
