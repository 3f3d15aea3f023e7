package edge

import "testing"

func TestCallIsTakenOnce(t *testing.T) {
	var u unanswered
	u.add(1, call{id: "a", text: 5})
	u.add(2, call{id: "b", ack: true})
	if c, ok := u.take(1); !ok || c.id != "a" || u.bytes != 0 {
		t.Errorf("taken is %+v, %v, and %d bytes are left", c, ok, u.bytes)
	}
	if c, ok := u.take(1); ok {
		t.Errorf("taken again is %+v", c)
	}
	if u.empty() {
		t.Error("the other call is forgotten")
	}
}

func TestWhatIsAnsweredKeepsNoMemory(t *testing.T) {
	var u unanswered
	for ref := range uint64(maxCalls) {
		if !u.add(ref, call{text: 1}) {
			t.Fatalf("call %d is refused", ref)
		}
	}
	if u.add(maxCalls, call{}) {
		t.Error("one more is taken")
	}
	for ref := range uint64(maxCalls) {
		u.take(ref)
	}
	if !u.empty() || u.bytes != 0 || u.calls != nil {
		t.Errorf("what is left is %+v", u)
	}
}
