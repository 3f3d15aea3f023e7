package storetest

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"multichat/internal/chat"
)

var readTests = map[string]func(*testing.T, *rig){
	"Arrivals are every mailbox's, ascending": testArrivals,
	"Arrivals of a head that was seen":        testArrivalsSeen,
	"Bodies leaves out what is gone":          testBodies,
	"Page keeps to its limits":                testPage,
	"Newest names mailboxes that have mail":   testNewest,
}

func contextEnded(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}

func testArrivals(t *testing.T, r *rig) {
	toBob, toAll := r.send("bob", "1", "2"), r.send(chat.Everyone, "3")
	all := []chat.Arrival{{Seq: toBob[0], To: "bob"}, {Seq: toBob[1], To: "bob"}, {Seq: toAll[0], To: chat.Everyone}}
	for name, c := range map[string]struct {
		after chat.Seq
		limit int
		want  []chat.Arrival
	}{
		"all":           {0, 10, all},
		"the first two": {0, 2, all[:2]},
		"above a seq":   {toBob[0], 10, all[1:]},
		"above all":     {toAll[0], 10, nil},
	} {
		head, got, err := r.Arrivals(t.Context(), r.shard, c.after, chat.Head{}, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || head.Newest != toAll[0] {
			t.Errorf("%s: the head is %+v (-want +got):\n%s", name, head, diff)
		}
	}
}

func testArrivalsSeen(t *testing.T, r *rig) {
	r.send("bob", "1")
	seen := r.head()
	if head, got, err := r.Arrivals(t.Context(), r.shard, seen.Newest, seen, 10); err != nil || head != seen || len(got) != 0 {
		t.Errorf("nothing new: %+v, %v, %v", head, got, err)
	}
	seqs := r.send("bob", "2")
	head, got, err := r.Arrivals(t.Context(), r.shard, seen.Newest, seen, 10)
	if err != nil || head.Newest != seqs[0] || len(got) != 1 || got[0].Seq != seqs[0] {
		t.Errorf("something new: %+v, %v, %v", head, got, err)
	}
}

func testBodies(t *testing.T, r *rig) {
	seqs := r.send("bob", "1", "2", "3")
	r.exec("DELETE FROM inbox WHERE seq = ?", int64(seqs[1]))
	got, err := r.Bodies(t.Context(), r.shard, []chat.Seq{seqs[2], seqs[1], seqs[0], 1})
	if err != nil || texts(got) != "1 3 " {
		t.Errorf("%s, %v", texts(got), err)
	}
	if got, err := r.Bodies(t.Context(), r.shard, nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

func testPage(t *testing.T, r *rig) {
	ten := strings.Repeat("x", 9)
	seqs := r.send("bob", "0"+ten, "1"+ten, "2"+ten, "3"+ten)
	r.send("carol", "not bob's")
	for name, c := range map[string]struct {
		after, upTo     chat.Seq
		limit, maxBytes int
		want            string
	}{
		"all":                         {0, seqs[3], 10, 1000, "0123"},
		"after is left out":           {seqs[0], seqs[3], 10, 1000, "123"},
		"up to is taken in":           {0, seqs[2], 10, 1000, "012"},
		"at most so many":             {0, seqs[3], 2, 1000, "01"},
		"until the bytes are reached": {0, seqs[3], 10, 15, "01"},
		"at least one":                {0, seqs[3], 10, 1, "0"},
		"none there":                  {seqs[3], 1 << 62, 10, 1000, ""},
	} {
		page, err := r.Page(t.Context(), "bob", c.after, c.upTo, c.limit, c.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, m := range page {
			got += string(m.Text[:1])
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func testNewest(t *testing.T, r *rig) {
	bobs, all := r.send("bob", "1", "2"), r.send(chat.Everyone, "3")
	got, err := r.Newest(t.Context(), r.shard, []chat.Mailbox{"bob", "carol", "nobody", chat.Everyone})
	want := map[chat.Mailbox]chat.Seq{"bob": bobs[1], chat.Everyone: all[0]}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

var retentionTests = map[string]func(*testing.T, *rig){
	"Prune deletes by age, in bounded steps": testPrune,
	"Prune never deletes what is under a day": func(t *testing.T, r *rig) {
		r.send("bob", "1")
		if _, err := r.Prune(t.Context(), r.shard, time.Now().Add(-23*time.Hour), 10); err == nil || len(r.stored()) != 1 {
			t.Errorf("error %v, %d messages left", err, len(r.stored()))
		}
	},
	"ForgetDevices deletes what was not seen": testForget,
	"ForgetDevices keeps who was seen in a day": func(t *testing.T, r *rig) {
		if _, err := r.ForgetDevices(t.Context(), r.shard, time.Now(), 10); err == nil {
			t.Error("no error")
		}
	},
}

func testPrune(t *testing.T, r *rig) {
	var batch []chat.Submission
	for i, days := range []int{40, 10, 39, 38, 1, 37} {
		m := submission(string(rune('a'+i)), "bob", string(rune('a'+i)))
		m.Sent = time.Now().AddDate(0, 0, -days)
		batch = append(batch, m)
	}
	r.append(batch...)
	var steps []int
	for {
		n, err := r.Prune(t.Context(), r.shard, time.Now().AddDate(0, 0, -30), 3)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if steps = append(steps, n); n > 3 {
			t.Errorf("%d rows in a step", n)
		}
	}
	if got := texts(r.stored()); got != "b e " {
		t.Errorf("left: %s after steps %v", got, steps)
	}
	if again := r.append(batch[0])[0]; again.Existed {
		t.Error("an id is still known though its message is gone")
	}
}

func testForget(t *testing.T, r *rig) {
	r.openCursor("bob", "old")
	r.openCursor("bob", "new")
	r.exec("UPDATE `cursor` SET seen_at = ? WHERE device = ?", time.Now().AddDate(0, 0, -40).UnixMilli(), []byte("old"))
	n, err := r.ForgetDevices(t.Context(), r.shard, time.Now().AddDate(0, 0, -30), 10)
	if got := r.devices("bob"); err != nil || n != 1 || len(got) != 1 || got[0] != "new" {
		t.Errorf("%d forgotten, %v; left %v", n, err, got)
	}
}
