/** Everything that `refold status` shows, as JSON. No state. */

import { audit } from '../catalog/journal.ts'
import { countDeadLetters, lakeManifest } from '../catalog/lake.ts'
import { pausedVersions } from '../catalog/paused.ts'
import { runs } from '../catalog/runs.ts'
import { allSkipped } from '../catalog/skipped.ts'
import { allSlices } from '../catalog/slices.ts'
import { serving, versions } from '../catalog/versions.ts'
import type { JsonValue } from '../model/schema.ts'
import { alarmStatus, batchStatus } from './batch/batch-status.ts'
import { conservation } from './conservation.ts'
import type { ServerContext } from './context.ts'
import type { CoreParts } from './core-parts.ts'

export function serverStatus(parts: CoreParts): JsonValue {
  const { context, project, differs } = parts
  const { cut, timeMs } = context.log.state()
  return {
    project: project().name,
    dataDir: project().dataDir,
    pid: process.pid,
    cut: cut.commit,
    lastCommitAt: timeMs === 0 ? null : new Date(timeMs).toISOString(),
    streams: streamStatus(context),
    views: viewStatus(parts),
    differs: differs() ?? null,
    alarms: alarmStatus(parts),
    deploy: deployStatus(parts),
    engine: engineStatus(parts),
    log: logStatus(context),
    lake: lakeStatus(context),
    backups: context.pins.held,
    checks: checkStatus(parts),
    verify: verifyStatus(parts),
    conservation: conservation(context).map((row) => ({ ...row })),
    skipped: allSkipped(context.catalog).length,
    deadLettersInLake: countDeadLetters(context.catalog),
    audit: audit(context.catalog, 10).map((entry) => ({ ...entry })),
  }
}

function streamStatus(context: ServerContext): JsonValue {
  const { cut, counts, watermarksUs } = context.log.state()
  return context.streams().map(({ name, partitions }) => {
    const count = counts[name] ?? { accepted: 0, duplicate: 0, rejected: 0 }
    const watermark = watermarksUs[name]
    return {
      name,
      partitions,
      ...count,
      received: count.accepted + count.duplicate + count.rejected,
      offsets: [...(cut.offsets[name] ?? [])],
      watermark: watermark === undefined ? null : new Date(Math.floor(watermark / 1000)).toISOString(),
    }
  })
}

function viewStatus(parts: CoreParts): JsonValue {
  const { context, versions: life } = parts
  const pointers = serving(context.catalog)
  const slices = allSlices(context.catalog)
  const builds = life.builds()
  const pauses = pausedVersions(context.catalog)
  const ways = runs(context.catalog)
  const layers = batchStatus(parts)
  return versions(context.catalog)
    .filter(({ state }) => state !== 'retired')
    .map((row) => {
      const { view, version } = row
      const progress = context.supervisor.viewProgress(view, version)
      const own = slices.filter((slice) => slice.view === view && slice.version === version)
      const cut = progress?.cut ?? row.sealed
      const paused = pauses.find((one) => one.view === view && one.version === version)
      const layer = pointers[view] === version ? layers[view] : undefined
      const build = builds.find((entry) => entry.view === view && entry.version === version)
      return {
        name: view,
        version,
        serving: pointers[view] === version,
        run: { ...(ways[view] ?? { kind: 'kappa' }) } as JsonValue,
        state: paused !== undefined ? 'paused' : progress?.stalled === undefined ? row.state : 'stalled',
        cut,
        sealed: row.sealed,
        lagMs: context.history.lagMs(cut, context.clock.nowMs()),
        groups: progress?.groups ?? 0,
        tailRows: progress?.tailRows ?? 0,
        slices: own.length,
        sliceRows: own.reduce((sum, slice) => sum + slice.rows, 0),
        sliceBytes: own.reduce((sum, slice) => sum + slice.bytes, 0),
        onError: row.onError,
        ...(row.reason === null ? {} : { reason: row.reason }),
        ...(paused === undefined ? {} : { paused: paused.reason }),
        ...(layer === undefined ? {} : { batch: layer }),
        ...(build === undefined ? {} : { build: { done: build.done, to: build.to } }),
        ...(progress?.stalled === undefined
          ? {}
          : { stalled: { message: progress.stalled.message, position: { ...progress.stalled.position } } }),
      }
    })
}

/** The newest deploy, open or not. */
function deployStatus({ deploys }: CoreParts): JsonValue {
  const newest = deploys.list().at(-1)
  if (newest === undefined) return null
  const { id, state, author, reason, views } = newest
  return {
    id,
    state,
    who: author.who,
    ...(reason === undefined ? {} : { reason }),
    views: views.map(({ view, progress }) => ({
      view,
      ...(progress === undefined ? {} : { percent: progress.percent }),
    })),
  }
}

function engineStatus({ context, meters, sealing }: CoreParts): JsonValue {
  const { supervisor, clock } = context
  const { running, progress } = supervisor
  return {
    state: running === undefined ? 'starting' : 'running',
    pid: running?.engine.pid ?? null,
    upMs: running === undefined ? 0 : Math.round(clock.monotonicMs() - running.startedMs),
    restarts: supervisor.restarts,
    lastExit: supervisor.lastExit ?? null,
    cut: progress?.cut ?? null,
    ticks: meters.ticks,
    tickMs: meters.lastTickMs,
    foldAgain: meters.foldAgain === undefined ? null : { ...meters.foldAgain },
    ...sealing.counts,
  }
}

function checkStatus({ checks }: CoreParts): JsonValue {
  return checks.list().map(({ name, last }) => ({
    name,
    verdict: last?.verdict ?? null,
    cut: last?.cut ?? null,
    at: last === null ? null : new Date(last.timeMs).toISOString(),
    text: last?.text ?? null,
  }))
}

function verifyStatus({ verify }: CoreParts): JsonValue {
  return verify.last().map(({ view, version, cut, share, timeMs, found, findings, error }) => ({
    ...{ view, version, cut, share, found },
    at: new Date(timeMs).toISOString(),
    findings: findings.slice(0, 3).map(({ kind, text }) => ({ kind, text })),
    error: error ?? null,
  }))
}

function logStatus({ log, history }: ServerContext): JsonValue {
  const { segments, durable } = log.manifest()
  return {
    cut: durable,
    segments: segments.length,
    bytes: segments.reduce((sum, segment) => sum + segment.bytes, 0),
    from: segments[0]?.base ?? 0,
    writtenBytes: history.newest?.logBytes ?? 0,
    problem: log.problem() ?? null,
    lost: log.lost.map((lost) => ({ ...lost })) as unknown as JsonValue,
  }
}

function lakeStatus({ catalog }: ServerContext): JsonValue {
  const { through, files } = lakeManifest(catalog)
  return {
    through,
    files: files.length,
    rows: files.reduce((sum, file) => sum + file.rows, 0),
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  }
}
