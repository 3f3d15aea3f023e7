package client

// The names that version 1 had while it was alone, for callers that still use them.
type (
	Client = V1
	Config = V1Config
)

// New is [NewV1].
func New(cfg Config) (*Client, error) { return NewV1(cfg) }
