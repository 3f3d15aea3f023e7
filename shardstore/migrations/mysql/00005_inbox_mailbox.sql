-- +goose Up
-- The index is made with the table on MySQL, which has no CREATE INDEX IF NOT EXISTS. The file keeps the numbers alike.
DO 0;
