-- +goose Up
-- A program that knows less than this version of the schema must not use it. Raise it only in a file that older
-- programs cannot live with.
INSERT INTO meta (k, v) VALUES ('min_reader', '8') ON DUPLICATE KEY UPDATE v = '8';
