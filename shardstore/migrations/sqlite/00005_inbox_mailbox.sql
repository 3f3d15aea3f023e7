-- +goose Up
CREATE INDEX IF NOT EXISTS inbox_mailbox ON inbox (userid, seq);
