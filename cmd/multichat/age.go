package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// age is how long something is kept. People write it in days, 30d, or as time.Duration does, 720h.
type age time.Duration

const day = 24 * time.Hour

// String is in days if they are whole.
func (a age) String() string {
	if d := time.Duration(a); d%day != 0 {
		return d.String()
	}
	return fmt.Sprintf("%dd", time.Duration(a)/day)
}

// UnmarshalText reads what people write.
func (a *age) UnmarshalText(text []byte) error {
	if number, ok := strings.CutSuffix(string(text), "d"); ok {
		if days, err := strconv.ParseUint(number, 10, 16); err == nil { // so many days fit into a Duration
			*a = age(time.Duration(days) * day)
			return nil
		}
	} else if d, err := time.ParseDuration(string(text)); err == nil {
		*a = age(d)
		return nil
	}
	return fmt.Errorf("%q is no time: write days like 30d, or hours like 36h", text)
}
