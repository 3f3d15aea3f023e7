package main

import (
	"github.com/prometheus/client_golang/prometheus/collectors"

	"multichat/internal/metrics"
)

// describeProcess adds what is known of the whole process: the build that it is, and what the Go runtime and the system
// count about it. The nodes of a demo share their process, and leave it out.
//
// It is here and not in metrics since the package of the collectors drags database/sql along, which the business logic
// must not know.
func describeProcess(m *metrics.Metrics) {
	m.SetBuild(buildVersion())
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
