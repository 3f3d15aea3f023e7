package peers

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Series is one figure of one contender: a value for each round, in order. A round in which it could not be measured is NaN.
type Series []float64

// Median is NaN if nothing was measured.
func (s Series) Median() float64 {
	s = s.measured()
	switch n := len(s); {
	case n == 0:
		return math.NaN()
	case n%2 == 0:
		return (s[n/2-1] + s[n/2]) / 2
	default:
		return s[n/2]
	}
}

// measured is what was, in rising order.
func (s Series) measured() Series {
	return slices.Sorted(func(yield func(float64) bool) {
		for _, v := range s {
			if !math.IsNaN(v) && !math.IsInf(v, 0) && !yield(v) {
				return
			}
		}
	})
}

// with combines two figures round by round.
func (s Series) with(other Series, combine func(a, b float64) float64) Series {
	out := make(Series, min(len(s), len(other)))
	for i := range out {
		out[i] = combine(s[i], other[i])
	}
	return out
}

// Over is the ratio to another figure, round by round.
func (s Series) Over(other Series) Series {
	return s.with(other, func(a, b float64) float64 { return a / b })
}

// Minus is the difference to another figure, round by round.
func (s Series) Minus(other Series) Series {
	return s.with(other, func(a, b float64) float64 { return a - b })
}

// String is the median with the least and the greatest.
func (s Series) String() string {
	all := s.measured()
	switch {
	case len(all) == 0:
		return "not measured"
	case len(all) == 1 || all[0] == all[len(all)-1]:
		return number(s.Median())
	}
	return fmt.Sprintf("%s (%s – %s)", number(s.Median()), number(all[0]), number(all[len(all)-1]))
}

// Constant is a limit that is known without measuring.
func Constant(v float64, rounds int) Series { return slices.Repeat(Series{v}, rounds) }

// Figure is one of multichat's, beside the same of others.
type Figure struct {
	What   string // with its unit
	Ours   Series
	Beside []Beside
	Reason string // why a target is missed, if it is
}

// Beside is what a figure is compared with: that of a peer, which does the same work, or a limit, which nobody can pass. Which
// of them it is, its name says.
type Beside struct {
	Name       string
	Theirs     Series
	Comparison Series // with theirs; if it is nil, the ratio to it
	Target     Target
}

// Target is what a comparison's median is held to. The zero value holds it to nothing.
type Target struct {
	Text string // such as "≥ 1.5 ×"
	Met  func(float64) bool
}

// AtLeast is a target for ratios to peers.
func AtLeast(bound float64) Target {
	return Target{"≥ " + number(bound) + " ×", func(v float64) bool { return v >= bound }}
}

// AtMost is a target for ratios to limits that are to be come near from above.
func AtMost(bound float64) Target {
	return Target{"≤ " + number(bound) + " ×", func(v float64) bool { return v <= bound }}
}

// Within is a target for values and differences, as its text says them.
func Within(text string, bound float64) Target {
	return Target{text, func(v float64) bool { return v <= bound }}
}

// compared is the comparison's series.
func (b *Beside) compared(ours Series) Series {
	if b.Comparison != nil {
		return b.Comparison
	}
	return ours.Over(b.Theirs)
}

// verdict says whether the target is met.
func (b *Beside) verdict(ours Series) string {
	median := b.compared(ours).Median()
	switch {
	case b.Target.Met == nil:
		return ""
	case math.IsNaN(median):
		return "not measured"
	case b.Target.Met(median):
		return "met"
	}
	return "**missed**"
}

// Row is some work with what was measured of it.
type Row struct {
	Name    string
	Figures []Figure
	Notes   []string // what a reader must know beside the figures, or do to get those that are missing
}

// Table is the result of a run.
type Table []Row

// Missed are the figures that miss a target.
func (t Table) Missed() (missed []string) {
	for _, row := range t {
		for _, f := range row.Figures {
			for _, b := range f.Beside {
				if b.verdict(f.Ours) == "**missed**" {
					missed = append(missed, fmt.Sprintf("%s: %s beside %s", row.Name, f.What, b.Name))
				}
			}
		}
	}
	return missed
}

// Markdown is the table, and below it what is to be said about its rows.
func (t Table) Markdown() string {
	var b strings.Builder
	b.WriteString("| | multichat | beside it | its figure | comparison | target | |\n|---|---|---|---|---|---|---|\n")
	for i, row := range t {
		fmt.Fprintf(&b, "| **%d. %s** | | | | | | |\n", i+1, row.Name)
		for _, f := range row.Figures {
			f.writeLines(&b)
		}
	}
	for i, row := range t {
		for _, note := range row.remarks() {
			fmt.Fprintf(&b, "\nRow %d. %s\n", i+1, note)
		}
	}
	return b.String()
}

func (f *Figure) writeLines(b *strings.Builder) {
	what, ours := f.What, f.Ours.String()
	for _, beside := range f.Beside {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", what, ours, beside.Name, beside.Theirs,
			beside.compared(f.Ours), beside.Target.Text, beside.verdict(f.Ours))
		what, ours = "", ""
	}
}

// remarks are the row's notes, and why it misses what it misses.
func (r *Row) remarks() []string {
	notes := slices.Clone(r.Notes)
	for _, f := range r.Figures {
		missed := slices.ContainsFunc(f.Beside, func(b Beside) bool { return b.verdict(f.Ours) == "**missed**" })
		if missed && f.Reason != "" {
			notes = append(notes, fmt.Sprintf("Why “%s” is missed: %s", f.What, f.Reason))
		}
	}
	return notes
}

// number has three digits that count, and spaces between thousands.
func number(v float64) string {
	size := math.Abs(v)
	switch {
	case size >= 1000:
		unit := math.Pow(10, math.Floor(math.Log10(size))-2)
		return thousands(int64(math.Round(v/unit) * unit))
	case size >= 100:
		return fmt.Sprintf("%.0f", v)
	case size == 0:
		return "0"
	}
	decimals := min(2-int(math.Floor(math.Log10(size))), 5)
	text := fmt.Sprintf("%.*f", decimals, v)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s %03d", thousands(n/1000), n%1000)
}
