package link

import "testing"

func TestCallsAreBoundedAndEnd(t *testing.T) {
	c := newCalls(2)
	first, reply, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.open(); err != errFull {
		t.Errorf("a third call: %v, want %v", err, errFull)
	}
	body := []byte("answer")
	c.answer(first, body)
	copy(body, "******") // the reader's buffer is used again
	c.answer(first, []byte("again"))
	c.answer(99, []byte("to nobody"))
	if got := receive(t, reply, "the reply"); string(got) != "answer" {
		t.Errorf("the reply is %q", got)
	}
	c.end()
	if got, ok := <-second; ok {
		t.Errorf("a call that ended got the reply %q", got)
	}
	if _, _, err := c.open(); err != errClosed {
		t.Errorf("a call after the end: %v, want %v", err, errClosed)
	}
}
