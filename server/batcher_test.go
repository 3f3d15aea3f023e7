package server

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatGathersDuringABatchIsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBatcher[int](7, 3)
		var batches [][]int
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.run(ctx, func(_ context.Context, batch []int) {
				batches = append(batches, batch)
				time.Sleep(time.Second)
			})
		}()
		b.offer(0)
		synctest.Wait()
		for i := range 7 {
			if !b.offer(1 + i) {
				t.Errorf("request %d was refused", 1+i)
			}
		}
		if b.offer(8) {
			t.Error("an eighth request fits a queue of seven")
		}
		time.Sleep(1500 * time.Millisecond)
		cancel()
		<-ended
		want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7}}
		if !slices.EqualFunc(batches, want, slices.Equal[[]int]) {
			t.Errorf("batches %v, want %v: what is queued at the end is done as well", batches, want)
		}
	})
}

// Each batch is a list of when it began and how many requests it had.
func TestABatchAfterACrowdWaitsForACrowd(t *testing.T) {
	const pause = 10 * crowdStep
	for _, tc := range []struct {
		name  string
		max   int
		comes map[time.Duration]int // how many requests, by when
		want  [][2]int64
	}{
		{"fewer than a crowd wait for nobody", 100, map[time.Duration]int{0: crowd - 1, time.Second: 1}, [][2]int64{{0, crowd - 1}, {1000, 1}}},
		{"until as many are there", 100, map[time.Duration]int{0: crowd, time.Second: 3, time.Second + 2*time.Millisecond: crowd - 3},
			[][2]int64{{0, crowd}, {1002, crowd}}},
		{"or the pause is over", 100, map[time.Duration]int{0: crowd + 1, time.Second: 3, 2 * time.Second: 1},
			[][2]int64{{0, crowd + 1}, {1002, 3}, {2000, 1}}},
		{"not at all when they are", 100, map[time.Duration]int{0: crowd, time.Second: crowd}, [][2]int64{{0, crowd}, {1000, crowd}}},
		{"nor for more than a batch takes", crowd, map[time.Duration]int{0: crowd, time.Second: crowd + 2},
			[][2]int64{{0, crowd}, {1000, crowd}, {1002, 2}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatcher[int](100, tc.max)
				b.pause = pause
				for after, n := range tc.comes {
					time.AfterFunc(after, func() {
						for range n {
							b.offer(0)
						}
					})
				}
				var batches [][2]int64
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				b.run(ctx, func(_ context.Context, batch []int) {
					batches = append(batches, [2]int64{time.Since(began).Milliseconds(), int64(len(batch))})
				})
				if !slices.Equal(batches, tc.want) {
					t.Errorf("batches %v, want %v", batches, tc.want)
				}
			})
		})
	}
}
