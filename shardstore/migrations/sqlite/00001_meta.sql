-- +goose Up
-- What the shard knows of its cluster: the cluster's id, P, the hash's name and seed, the plan of its first partitions,
-- the highest shard number ever given, and the least schema version that a program must know to read it.
CREATE TABLE IF NOT EXISTS meta (
    k BLOB NOT NULL PRIMARY KEY,
    v BLOB NOT NULL
) STRICT, WITHOUT ROWID;
