/** What status and metrics say of batch layers and their alarms. No state. */

import { batchCounts } from '../../catalog/batches.ts'
import { runs } from '../../catalog/runs.ts'
import { serving } from '../../catalog/versions.ts'
import type { JsonValue } from '../../model/schema.ts'
import type { Metric } from '../../serve/core.ts'
import type { CoreParts } from '../core-parts.ts'
import { layerInfo } from './layer-state.ts'

/** By view that runs as lambda. */
export function batchStatus({ context, batches }: CoreParts): Readonly<Record<string, JsonValue>> {
  const { clock } = context
  const status: Record<string, JsonValue> = {}
  for (const { view, version, run } of lambdaViews({ context })) {
    const { cut, published, spanMs } = layerInfo(context, view, version, run)
    const running = batches.running().find((batch) => batch.view === view)
    const dueMs = batches.dueMs(view, version, run)
    status[view] = {
      cut: cut === 0 ? null : cut,
      at: published?.endedMs ? new Date(published.endedMs).toISOString() : null,
      ageMs: published?.endedMs ? Math.max(0, clock.nowMs() - published.endedMs) : null,
      spanMs: Math.round(spanMs),
      dueAt: Number.isFinite(dueMs) ? new Date(dueMs).toISOString() : null,
      running:
        running === undefined
          ? null
          : {
              id: running.id,
              step: running.step,
              cut: running.cut === 0 ? null : running.cut,
              startedAt: new Date(running.startedMs).toISOString(),
              worker: running.worker ?? null,
            },
    }
  }
  return status
}

export function alarmStatus({ batches, pauses }: CoreParts): JsonValue {
  const paused = pauses.list().map(({ view, reason, at }) => ({
    ...{ view, kind: 'view paused', message: reason },
    since: at,
  }))
  const ofBatches = batches.alarms().map(({ view, kind, sinceMs, message }) => ({
    ...{ view, kind, message },
    since: new Date(sinceMs).toISOString(),
  }))
  return [...ofBatches, ...paused]
}

export function batchMetrics({ context, batches }: CoreParts): readonly Metric[] {
  const { catalog, clock } = context
  const views = lambdaViews({ context }).map(({ view, version, run }) => {
    const { published, spanMs, alarms } = layerInfo(context, view, version, run)
    return { view, published, spanMs, alarms, counts: batchCounts(catalog, view) }
  })
  type View = (typeof views)[number]
  const gauge = (name: string, help: string, value: (view: View) => number | null | undefined): Metric => ({
    ...{ name, help, type: 'gauge' },
    samples: views.flatMap((own) => {
      const known = value(own)
      return known === null || known === undefined ? [] : [{ labels: { view: own.view }, value: known }]
    }),
  })
  const states = ['published', 'failed', 'skipped'] as const
  return [
    gauge('refold_batch_cut', 'Cut T of the last published batch.', ({ published }) => published?.cut),
    gauge('refold_batch_age_seconds', 'Time since the last batch was published.', ({ published }) =>
      published?.endedMs ? Math.max(0, clock.nowMs() - published.endedMs) / 1000 : undefined,
    ),
    gauge(
      'refold_batch_span_seconds',
      'Age of the oldest event that the batch layer does not hold.',
      ({ spanMs }) => spanMs / 1000,
    ),
    gauge('refold_batch_duration_seconds', 'How long the last published batch took.', ({ published }) =>
      published?.endedMs ? (published.endedMs - published.startedMs) / 1000 : undefined,
    ),
    gauge(
      'refold_batch_events',
      'Events that the last published batch folded.',
      ({ published }) => published?.events,
    ),
    gauge(
      'refold_batch_divergence_rows',
      'Rows in which the last published batch differed from what was served.',
      ({ published }) => published?.divergence,
    ),
    gauge('refold_batch_running', '1 while a batch runs.', ({ view }) =>
      batches.running().some((running) => running.view === view) ? 1 : 0,
    ),
    gauge('refold_batch_alarms', 'Alarms about the batch layer.', ({ alarms }) => alarms.length),
    {
      ...{ name: 'refold_batches_total', help: 'Batches by how they ended.', type: 'counter' },
      samples: views.flatMap(({ view, counts }) =>
        states.map((state) => ({ labels: { view, state }, value: counts[state] ?? 0 })),
      ),
    },
  ]
}

function lambdaViews({ context: { catalog } }: Pick<CoreParts, 'context'>) {
  const pointers = serving(catalog)
  return Object.entries(runs(catalog)).flatMap(([view, run]) => {
    const version = pointers[view]
    return run.kind !== 'lambda' || version === undefined ? [] : [{ view, version, run }]
  })
}
