-- +goose Up
-- What the shard knows of its cluster: the cluster's id, P, the hash's name and seed, the plan of its first partitions,
-- the highest shard number ever given, and the least schema version that a program must know to read it.
CREATE TABLE IF NOT EXISTS meta (
    k VARBINARY(64) NOT NULL PRIMARY KEY,
    v MEDIUMBLOB    NOT NULL
) ENGINE = InnoDB;
