package proxy

import (
	"testing"
	"time"
)

const ms = time.Millisecond

func TestCondemn(t *testing.T) {
	long := hopelessAfter
	for _, tt := range []struct {
		name    string
		silence map[string]time.Duration
		want    string
	}{
		{"no server", nil, ""},
		{"all answer", map[string]time.Duration{"a": 0, "b": 20 * ms, "c": 0}, ""},
		{"one is late, but not for long enough", map[string]time.Duration{"a": 499 * ms, "b": 0, "c": 0}, ""},
		{"one of three is silent", map[string]time.Duration{"a": 0, "b": 500 * ms, "c": 0}, "b"},
		{"one of two is silent", map[string]time.Duration{"a": 500 * ms, "b": 0}, "a"},
		{"the only one is silent", map[string]time.Duration{"a": long - ms}, ""},
		{"two of three are silent", map[string]time.Duration{"a": 600 * ms, "b": 5 * time.Second, "c": 0}, ""},
		{"two of four are silent", map[string]time.Duration{"a": 600 * ms, "b": 700 * ms, "c": 0, "d": 0}, "b"},
		{"all of three are silent", map[string]time.Duration{"a": long - ms, "b": long - ms, "c": long - ms}, ""},
		{"all fell silent at once, the first is due", map[string]time.Duration{"a": 510 * ms, "b": 450 * ms, "c": 310 * ms}, ""},
		{"most fell silent together, the first is due", map[string]time.Duration{"a": 510 * ms, "b": 310 * ms, "c": 0}, ""},
		{"one is silent, another had a short pause", map[string]time.Duration{"a": 510 * ms, "b": 200 * ms, "c": 0}, "a"},
		{"all are silent for ever", map[string]time.Duration{"a": long - ms, "b": long, "c": long - ms}, "b"},
		{"the only one is silent for ever", map[string]time.Duration{"a": long}, "a"},
		{"two are silent for equally long", map[string]time.Duration{"b": 600 * ms, "a": 600 * ms, "c": 0, "d": 0}, "a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j judge
			if got := j.condemn(tt.silence, time.Unix(1000, 0)); got != tt.want {
				t.Errorf("condemned %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAtMostOneServerIsGivenUpPerSecond(t *testing.T) {
	// Two of five are silent. The one that is given up has no link from then on, and so no silence.
	var j judge
	silence := map[string]time.Duration{"a": 600 * ms, "b": 600 * ms, "c": 0, "d": 0, "e": 0}
	begin := time.Unix(1000, 0)
	given := make(map[string]time.Duration)
	for now := begin; now.Before(begin.Add(5 * time.Second)); now = now.Add(judgeEvery) {
		if name := j.condemn(silence, now); name != "" {
			given[name] = now.Sub(begin)
			delete(silence, name)
		}
	}
	if len(given) != 2 || given["a"] != 0 || given["b"] != giveUpPause {
		t.Errorf("given up were %v, want a at once and b after %v", given, giveUpPause)
	}
}

func TestALinkThatCountsAnewIsNotOneThatAnswers(t *testing.T) {
	// Both servers are silent. The timer of one link is late again and again, so that its silence begins at 0 each time.
	var j judge
	begin := time.Unix(1000, 0)
	for now := begin; now.Before(begin.Add(2 * time.Second)); now = now.Add(judgeEvery) {
		d := now.Sub(begin)
		if name := j.condemn(map[string]time.Duration{"a": d, "b": d % (300 * ms)}, now); name != "" {
			t.Fatalf("condemned %q after %v", name, d)
		}
	}
}

func TestJudgeIsHeldBackByTheOthersForAMoment(t *testing.T) {
	var j judge
	begin := time.Unix(1000, 0)
	if name := j.condemn(map[string]time.Duration{"a": time.Second, "b": time.Second}, begin); name != "" {
		t.Fatalf("condemned %q while all are silent", name)
	}
	for now := begin; ; now = now.Add(judgeEvery) { // b answers from now on
		name := j.condemn(map[string]time.Duration{"a": time.Second, "b": 0}, now)
		if d := now.Sub(begin); (name == "a") != (d >= giveUpAfter) {
			t.Fatalf("condemned %q %v after the other's answer, want a after %v", name, d, giveUpAfter)
		}
		if name != "" {
			return
		}
	}
}
