package main

import (
	"testing"
	"time"
)

func TestAgeIsWrittenInDaysOrAsADuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want time.Duration // 0: refused
		back string
	}{
		{"30d", 30 * day, "30d"},
		{"1d", day, "1d"},
		{"720h", 30 * day, "30d"},
		{"36h", 36 * time.Hour, "36h0m0s"},
		{"65535d", 65535 * day, "65535d"},
		{"65536d", 0, ""},
		{"-1d", 0, ""},
		{"1.5d", 0, ""},
		{"d", 0, ""},
		{"30", 0, ""},
		{"", 0, ""},
	} {
		var a age
		err := a.UnmarshalText([]byte(c.text))
		if (err == nil) != (c.want > 0) || time.Duration(a) != c.want || err == nil && a.String() != c.back {
			t.Errorf("%q is %v, %v; want %v", c.text, a, err, c.want)
		}
	}
}
