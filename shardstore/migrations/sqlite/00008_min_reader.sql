-- +goose Up
-- A program that knows less than this version of the schema must not use it. Raise it only in a file that older
-- programs cannot live with.
INSERT INTO meta (k, v) VALUES (CAST('min_reader' AS BLOB), CAST('8' AS BLOB))
ON CONFLICT (k) DO UPDATE SET v = excluded.v;
