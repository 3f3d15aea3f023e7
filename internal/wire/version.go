package wire

import (
	"bufio"
	"fmt"
	"io"
)

// Version looks at a connection's first verb and the byte that ends it, without consuming them: 1 for a colon, 2 for a
// semicolon or a newline. It waits for no byte beyond that one. Its errors are those of [ReadRequest].
func Version(r *bufio.Reader) (int, error) {
	verb, err := peekVerb(r)
	if err != nil {
		return 0, err
	}
	if verb[len(verb)-1] == ':' {
		return 1, nil
	}
	return 2, nil
}

// peekVerb looks at the first verb and the byte that ends it. A carriage return is taken for the newline that it should
// precede.
func peekVerb(r *bufio.Reader) ([]byte, error) {
	for n := 1; n <= maxVerb+1; n++ {
		verb, err := r.Peek(n) // one more than has been looked at, since to ask for two might wait for ever
		switch {
		case err == io.EOF && len(verb) == 0:
			return nil, ErrEmpty
		case err == io.EOF:
			return nil, errVerb
		case err != nil:
			return nil, fmt.Errorf("reading a request: %w", err)
		}
		switch c := verb[n-1]; {
		case isLetter(c):
		case n > 1 && (c == ':' || c == ';' || c == '\n' || c == '\r'):
			return verb, nil
		default:
			return nil, errVerb
		}
	}
	return nil, errVerb
}
