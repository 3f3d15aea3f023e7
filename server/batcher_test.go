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

func TestABatchRightAfterACrowdWaitsForACrowd(t *testing.T) {
	const patience = 8 * crowdStep
	type batch struct{ began, requests int } // microseconds, and how many
	for _, tc := range []struct {
		name  string
		max   int
		took  time.Duration // by each batch
		first int           // requests at once
		then  map[time.Duration]int
		want  []batch
	}{
		{"fewer than a crowd wait for nobody", 100, 10 * time.Millisecond, crowd - 1,
			map[time.Duration]int{10200 * time.Microsecond: 1}, []batch{{0, crowd - 1}, {10200, 1}}},
		{"until as many are there", 100, 10 * time.Millisecond, crowd,
			map[time.Duration]int{10200 * time.Microsecond: 3, 11100 * time.Microsecond: crowd - 3},
			[]batch{{0, crowd}, {11200, crowd}}},
		{"until its patience is over", 100, 10 * time.Millisecond, crowd + 1,
			map[time.Duration]int{10200 * time.Microsecond: 3, 22500 * time.Microsecond: 1},
			[]batch{{0, crowd + 1}, {12200, 3}, {22500, 1}}},
		{"not for longer than the last one took", 100, time.Millisecond, crowd,
			map[time.Duration]int{1100 * time.Microsecond: 3}, []batch{{0, crowd}, {2100, 3}}},
		{"not when the crowd has gone", 100, 10 * time.Millisecond, crowd,
			map[time.Duration]int{13 * time.Millisecond: 1}, []batch{{0, crowd}, {13000, 1}}},
		{"not when as many are there", 100, 10 * time.Millisecond, crowd,
			map[time.Duration]int{5 * time.Millisecond: crowd}, []batch{{0, crowd}, {10000, crowd}}},
		{"not for more than a batch takes", crowd, 10 * time.Millisecond, crowd,
			map[time.Duration]int{5 * time.Millisecond: crowd + 2}, []batch{{0, crowd}, {10000, crowd}, {22000, 2}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBatcher[int](100, tc.max)
				b.patience = patience
				offer := func(n int) {
					for range n {
						b.offer(0)
					}
				}
				offer(tc.first)
				for after, n := range tc.then {
					time.AfterFunc(after, func() { offer(n) })
				}
				var batches []batch
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				b.run(ctx, func(_ context.Context, requests []int) {
					batches = append(batches, batch{int(time.Since(began).Microseconds()), len(requests)})
					time.Sleep(tc.took)
				})
				if !slices.Equal(batches, tc.want) {
					t.Errorf("batches %v, want %v", batches, tc.want)
				}
			})
		})
	}
}
