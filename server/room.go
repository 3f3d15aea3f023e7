package server

import "sync/atomic"

// room bounds the memory for texts that wait to be stored on one shard, or are being stored. The zero value is empty.
type room struct{ taken atomic.Int64 }

// maxWriteBytes are the bytes of texts that one shard may keep waiting.
const maxWriteBytes = 64 << 20

// take makes room for a text, or reports false when there is none.
func (r *room) take(text []byte) bool {
	if r.taken.Add(int64(len(text))) > maxWriteBytes {
		r.free(text)
		return false
	}
	return true
}

func (r *room) free(text []byte) { r.taken.Add(-int64(len(text))) }
