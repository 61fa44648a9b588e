/** Gauges and counters of the running server, for Prometheus. No state: all are read from the parts. */

import { lakeManifest } from '../catalog/lake.ts'
import { pausedVersions } from '../catalog/paused.ts'
import { allSkipped } from '../catalog/skipped.ts'
import { allSlices } from '../catalog/slices.ts'
import { serving } from '../catalog/versions.ts'
import type { VersionId } from '../model/cut.ts'
import type { Metric } from '../serve/core.ts'
import { batchMetrics } from './batch/batch-status.ts'
import { conservation } from './conservation.ts'
import type { ServerContext } from './context.ts'
import type { CoreParts } from './core-parts.ts'

type Sample = Metric['samples'][number]

export function serverMetrics(parts: CoreParts): readonly Metric[] {
  const { context } = parts
  return [
    ...streamMetrics(context),
    ...viewMetrics(context),
    ...engineMetrics(parts),
    ...storageMetrics(context),
    ...checkMetrics(parts),
    ...verifyMetrics(parts),
    ...batchMetrics(parts),
  ]
}

function streamMetrics({ log }: ServerContext): readonly Metric[] {
  const counts = Object.entries(log.state().counts)
  const samples = (value: (count: (typeof counts)[number][1]) => number) =>
    counts.map(([stream, count]) => ({ labels: { stream }, value: value(count) }))
  return [
    counter(
      'refold_events_accepted_total',
      'Events accepted.',
      samples(({ accepted }) => accepted),
    ),
    counter(
      'refold_events_duplicate_total',
      'Events that were there before.',
      samples(({ duplicate }) => duplicate),
    ),
    counter(
      'refold_events_rejected_total',
      'Events rejected.',
      samples(({ rejected }) => rejected),
    ),
    gauge('refold_cut', 'The newest durable cut.', one(log.state().cut.commit)),
  ]
}

function viewMetrics(context: ServerContext): readonly Metric[] {
  const { catalog, supervisor, history, clock } = context
  const slices = allSlices(catalog)
  const pauses = pausedVersions(catalog)
  const isPaused = (view: string, version: VersionId) =>
    pauses.some((paused) => paused.view === view && paused.version === version)
  const views = Object.entries(serving(catalog)).map(([view, version]) => ({
    view,
    version,
    progress: supervisor.viewProgress(view, version),
    slices: slices.filter((slice) => slice.view === view && slice.version === version),
  }))
  const samples = (value: (view: (typeof views)[number]) => number) =>
    views.map((entry) => ({ labels: { view: entry.view }, value: value(entry) }))
  return [
    gauge(
      'refold_view_lag_seconds',
      'Age of the oldest acknowledged event that the view does not include.',
      samples(({ progress }) => history.lagMs(progress?.cut ?? 0, clock.nowMs()) / 1000),
    ),
    gauge(
      'refold_view_cut',
      'Cut at which the view stands.',
      samples(({ progress }) => progress?.cut ?? 0),
    ),
    gauge(
      'refold_view_groups',
      'Groups of the view.',
      samples(({ progress }) => progress?.groups ?? 0),
    ),
    gauge(
      'refold_view_tail_rows',
      'Partial rows in memory.',
      samples(({ progress }) => progress?.tailRows ?? 0),
    ),
    gauge(
      'refold_view_stalled',
      '1 while the view is stalled.',
      samples(({ progress }) => (progress?.stalled ? 1 : 0)),
    ),
    gauge(
      'refold_view_paused',
      '1 while the view is not folded.',
      samples(({ view, version }) => (isPaused(view, version) ? 1 : 0)),
    ),
    gauge(
      'refold_view_slices',
      'Published slices.',
      samples((entry) => entry.slices.length),
    ),
    gauge(
      'refold_view_slice_bytes',
      'Bytes of published slices.',
      samples((entry) => entry.slices.reduce((sum, slice) => sum + slice.bytes, 0)),
    ),
    counter('refold_events_skipped_total', 'Events that views left out.', one(allSkipped(catalog).length)),
    gauge(
      'refold_view_held_events',
      'Late events that wait for the next batch of the view.',
      conservation(context).flatMap(({ view, held }) =>
        view === null || held === null ? [] : [{ labels: { view }, value: held }],
      ),
    ),
  ]
}

function engineMetrics({ context, meters, sealing }: CoreParts): readonly Metric[] {
  const { supervisor } = context
  const { seals, merges } = sealing.counts
  const histogram: Sample[] = [
    ...meters
      .buckets()
      .map(({ le, count }) => ({ labels: { le: String(le) }, value: count, suffix: '_bucket' })),
    { labels: { le: '+Inf' }, value: meters.ticks, suffix: '_bucket' },
    { labels: {}, value: meters.seconds, suffix: '_sum' },
    { labels: {}, value: meters.ticks, suffix: '_count' },
  ]
  return [
    counter(
      'refold_engine_restarts_total',
      'Engines that ended and were started again.',
      one(supervisor.restarts),
    ),
    gauge('refold_engine_up', '1 while an engine answers.', one(supervisor.running === undefined ? 0 : 1)),
    { name: 'refold_tick_seconds', help: 'Time of a tick.', type: 'histogram', samples: histogram },
    counter('refold_seals_total', 'Tails sealed since the server began.', one(seals)),
    counter('refold_merges_total', 'Merges of slices since the server began.', one(merges)),
  ]
}

function storageMetrics({ log, catalog }: ServerContext): readonly Metric[] {
  const { segments } = log.manifest()
  const { files } = lakeManifest(catalog)
  return [
    gauge('refold_log_segments', 'Hot segments.', one(segments.length)),
    gauge(
      'refold_log_bytes',
      'Bytes of hot segments.',
      one(segments.reduce((sum, { bytes }) => sum + bytes, 0)),
    ),
    gauge('refold_lake_files', 'Files of the lake.', one(files.length)),
    gauge('refold_lake_bytes', 'Bytes of the lake.', one(files.reduce((sum, { bytes }) => sum + bytes, 0))),
    gauge('refold_server_memory_bytes', 'Resident memory of the server.', one(process.memoryUsage.rss())),
  ]
}

function checkMetrics({ checks }: CoreParts): readonly Metric[] {
  const decided = checks.list().filter(({ last }) => last !== null)
  const samples = decided.map(({ name, last }) => ({
    labels: { check: name },
    value: last?.verdict === 'green' ? 1 : 0,
  }))
  return [gauge('refold_check_green', '1 while the last verdict about what answers is green.', samples)]
}

function verifyMetrics({ verify }: CoreParts): readonly Metric[] {
  const reports = verify.last()
  const samples = (value: (report: (typeof reports)[number]) => number) =>
    reports.map((report) => ({ labels: { view: report.view }, value: value(report) }))
  return [
    gauge(
      'refold_verify_findings',
      'Differences between served state and log that the last verification found.',
      samples(({ found }) => found),
    ),
    gauge(
      'refold_verify_time_seconds',
      'When the view was last verified, since 1970.',
      samples(({ timeMs }) => timeMs / 1000),
    ),
    gauge(
      'refold_verify_failed',
      '1 when the last verification could not be carried out.',
      samples(({ error }) => (error === undefined ? 0 : 1)),
    ),
  ]
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }]
}

function counter(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: 'counter', samples }
}

function gauge(name: string, help: string, samples: readonly Sample[]): Metric {
  return { name, help, type: 'gauge', samples }
}
