package peers

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var nan = math.NaN()

func TestSeries(t *testing.T) {
	for _, tt := range []struct {
		series Series
		want   string
	}{
		{Series{3, 1, 2}, "2 (1 – 3)"},
		{Series{4, 1, 2, 3}, "2.5 (1 – 4)"},
		{Series{5}, "5"},
		{Series{5, 5}, "5"},
		{Series{nan, 7, nan, 9, 8}, "8 (7 – 9)"},
		{Series{}, "not measured"},
		{Series{nan}, "not measured"},
		{Series{1, 2}.Over(Series{0, 0}), "not measured"},
		{Constant(1, 3), "1"},
	} {
		if got := tt.series.String(); got != tt.want {
			t.Errorf("%v is shown as %q; want %q", []float64(tt.series), got, tt.want)
		}
	}
}

// A ratio is taken within its round: a slow round is slow for both.
func TestARatioIsOfOneRound(t *testing.T) {
	ours, theirs := Series{100, 50, 10}, Series{50, 25, 5}
	if got := ours.Over(theirs).String(); got != "2" {
		t.Errorf("the ratio is %s; want 2 in every round", got)
	}
	if got := ours.Minus(theirs).String(); got != "25 (5 – 50)" {
		t.Errorf("the difference is %s", got)
	}
}

func TestNumbersHaveThreeDigitsThatCount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", 0.0500: "0.05", 0.00391: "0.00391", 0.000001: "0", 1.5: "1.5", 1.499: "1.5", 12.34: "12.3", 123.4: "123",
		999.6: "1000", 1000: "1 000", 1234.5: "1 230", 162_345: "162 000", 1_234_567: "1 230 000", -2345: "-2 350", -0.25: "-0.25",
	} {
		if got := number(v); got != want {
			t.Errorf("%v is shown as %q; want %q", v, got, want)
		}
	}
}

func aTable() Table {
	return Table{{
		Name:  "polls",
		Notes: []string{"Each from an address of its own."},
		Figures: []Figure{
			{What: "polls/s", Ours: Series{200, 220, 210}, Reason: "it checks them.", Beside: []Beside{
				{Name: "peer: nginx", Theirs: Series{100, 110, 105}, Target: AtLeast(1.5)},
				{Name: "limit: a loop", Theirs: Series{400, 440, 420}, Target: AtLeast(0.7)},
			}},
			{What: "allocations", Ours: Series{0, 0, 0}, Reason: "never said.", Beside: []Beside{
				{Name: "limit: none", Theirs: Constant(0, 3), Comparison: Series{0, 0, 0}, Target: Within("≤ 0.1", 0.1)},
			}},
		},
	}, {
		Name:    "sends",
		Notes:   []string{"HAProxy is not installed."},
		Figures: []Figure{{What: "sends/s", Ours: Series{7}, Beside: []Beside{{Name: "peer: HAProxy", Target: AtLeast(0.8)}}}},
	}}
}

func TestTheTableSaysWhatIsMissedAndWhy(t *testing.T) {
	want := strings.TrimPrefix(`
| | multichat | beside it | its figure | comparison | target | |
|---|---|---|---|---|---|---|
| **1. polls** | | | | | | |
| polls/s | 210 (200 – 220) | peer: nginx | 105 (100 – 110) | 2 | ≥ 1.5 × | met |
|  |  | limit: a loop | 420 (400 – 440) | 0.5 | ≥ 0.7 × | **missed** |
| allocations | 0 | limit: none | 0 | 0 | ≤ 0.1 | met |
| **2. sends** | | | | | | |
| sends/s | 7 | peer: HAProxy | not measured | not measured | ≥ 0.8 × | not measured |

Row 1. Each from an address of its own.

Row 1. Why “polls/s” is missed: it checks them.

Row 2. HAProxy is not installed.
`, "\n")
	if diff := cmp.Diff(want, aTable().Markdown()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"polls: polls/s beside limit: a loop"}, aTable().Missed()); diff != "" {
		t.Errorf("missed: want -, got +:\n%s", diff)
	}
}

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		target Target
		value  float64
		met    bool
	}{
		{AtLeast(0.8), 0.8, true}, {AtLeast(0.8), 0.79, false},
		{AtMost(5), 5, true}, {AtMost(5), 5.1, false},
		{Within("≤ 1 ms", 1), -3, true}, {Within("≤ 1 ms", 1), 1.1, false},
	} {
		if tt.target.Met(tt.value) != tt.met {
			t.Errorf("%v meets %q: %v; want %v", tt.value, tt.target.Text, !tt.met, tt.met)
		}
	}
}
