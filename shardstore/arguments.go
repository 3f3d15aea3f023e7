package shardstore

import (
	"iter"
	"math/bits"
	"strings"
	"sync"
)

// maxList bounds the rows or keys of one statement. SQLite takes 32 766 values in one.
const maxList = 256

// insertSizes are the row counts that there is an INSERT for. A longer list is split into them: each statement has its price,
// and of those prepared for all sizes the largest two take most of the memory, some 100 KiB.
var insertSizes = []int{maxList, 128, 64, 32, 16, 8, 4, 2, 1}

// blob is a key as it is stored: always a BLOB, so that no encoding or collation has a say.
func blob[T ~string](s T) []byte { return []byte(s) }

// listSize is the number of places in a list made for n things: the next power of two, so that few statement texts
// serve lists of all lengths. The places left over are filled with NULL, which equals nothing.
func listSize(n int) int {
	return 1 << bits.Len(uint(n-1))
}

// pad fills the places left over.
func pad(args []any, places int) []any {
	for len(args) < places {
		args = append(args, nil)
	}
	return args
}

// marks is "?,?,…" with n places.
func marks(n int) string { return strings.Repeat(",?", n)[1:] }

// keyList is the keys as arguments, padded to the list's size.
func keyList[T ~string](keys []T) []any {
	args := make([]any, 0, listSize(len(keys)))
	for _, k := range keys {
		args = append(args, blob(k))
	}
	return pad(args, cap(args))
}

// split yields n as a sum of sizes, which descend to 1, the largest first.
func split(n int, sizes []int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, size := range sizes {
			for ; n >= size; n -= size {
				if !yield(size) {
					return
				}
			}
		}
	}
}

// textsBySize makes the statement text for a size once and keeps it. Sizes are few and at most maxList.
func textsBySize(make func(size int) string) func(size int) string {
	var texts sync.Map
	return func(size int) string {
		if text, ok := texts.Load(size); ok {
			return text.(string)
		}
		text, _ := texts.LoadOrStore(size, make(size))
		return text.(string)
	}
}
