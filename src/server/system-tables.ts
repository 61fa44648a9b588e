/**
 * The `refold.*` tables that people can query beside their views: made from the catalog and the running state when
 * a query names them, as rows of JSON for the engine. No state.
 */

import { batches } from '../catalog/batches.ts'
import { checkResults } from '../catalog/checks.ts'
import { deployRows } from '../catalog/deploys.ts'
import { audit, cuts } from '../catalog/journal.ts'
import { deadLetters, lakeManifest } from '../catalog/lake.ts'
import { pausedVersions } from '../catalog/paused.ts'
import { runs } from '../catalog/runs.ts'
import { allSkipped } from '../catalog/skipped.ts'
import { allPastSlices } from '../catalog/slices.ts'
import { schemaHistory } from '../catalog/streams.ts'
import { verifyResults } from '../catalog/verify-results.ts'
import { serving, versions } from '../catalog/versions.ts'
import type { SqlRead } from '../engine/engine.ts'
import type { VerifyReport } from '../govern/types.ts'
import type { JsonValue } from '../model/schema.ts'
import { utcText } from '../model/utc-text.ts'
import type { Column } from '../plan/plan.ts'
import { batchColumns, batchTableRow } from './batch/batch-table.ts'
import { divergenceColumns, divergenceTableRows } from './batch/divergence-table.ts'
import { conservation } from './conservation.ts'
import type { ServerContext } from './context.ts'
import { type Deploy, toDeploy } from './deploys/deploy-record.ts'
import { lateStretches } from './late/late-summary.ts'

type Row = Readonly<Record<string, JsonValue>>

interface SystemTable {
  /** Name → DuckDB's type. */
  readonly columns: Readonly<Record<string, string>>
  rows(context: ServerContext): readonly Row[] | Promise<readonly Row[]>
}

/** Rows of the longer tables: the newest ones up to this many. */
const ROWS_MAX = 100_000

const tables: Readonly<Record<string, SystemTable>> = {
  streams: {
    columns: {
      stream: 'VARCHAR',
      partitions: 'INTEGER',
      id: 'VARCHAR',
      key: 'VARCHAR',
      time: 'VARCHAR',
      accepted: 'BIGINT',
      duplicate: 'BIGINT',
      rejected: 'BIGINT',
      watermark: 'TIMESTAMP',
    },
    rows: streamRows,
  },
  schemas: {
    columns: { stream: 'VARCHAR', since_cut: 'BIGINT', definition: 'JSON' },
    rows: ({ catalog }) =>
      schemaHistory(catalog).map(({ stream, since, def }) => ({
        stream,
        since_cut: since,
        definition: JSON.stringify(def),
      })),
  },
  views: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      state: 'VARCHAR',
      cut: 'BIGINT',
      sealed_cut: 'BIGINT',
      lag_ms: 'DOUBLE',
      tail_rows: 'BIGINT',
      groups: 'BIGINT',
      run: 'VARCHAR',
      run_options: 'JSON',
      sql: 'VARCHAR',
    },
    rows: viewRows,
  },
  versions: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      state: 'VARCHAR',
      start_cut: 'BIGINT',
      sealed_cut: 'BIGINT',
      created_at: 'TIMESTAMP',
      warm_until: 'TIMESTAMP',
      reason: 'VARCHAR',
      sql: 'VARCHAR',
    },
    rows: ({ catalog }) =>
      versions(catalog).map((row) => ({
        view: row.view,
        version: row.version,
        state: row.state,
        start_cut: row.start,
        sealed_cut: row.sealed,
        created_at: timestamp(row.createdMs),
        warm_until: row.warmUntilMs === null ? null : timestamp(row.warmUntilMs),
        reason: row.reason,
        sql: row.sql,
      })),
  },
  deploys: {
    columns: {
      deploy: 'BIGINT',
      state: 'VARCHAR',
      who: 'VARCHAR',
      source: 'VARCHAR',
      begun_at: 'TIMESTAMP',
      changed_at: 'TIMESTAMP',
      compared_cut: 'BIGINT',
      cutover_cut: 'BIGINT',
      events: 'BIGINT',
      seconds: 'DOUBLE',
      accepted: 'VARCHAR',
      reason: 'VARCHAR',
      views: 'JSON',
      plan: 'JSON',
    },
    rows: ({ catalog }) => deployRows(catalog).map((row) => deployRow(toDeploy(row))),
  },
  slices: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      part: 'VARCHAR',
      from_cut: 'BIGINT',
      to_cut: 'BIGINT',
      rows: 'BIGINT',
      bytes: 'BIGINT',
      superseded_at: 'TIMESTAMP',
      path: 'VARCHAR',
    },
    rows: ({ catalog }) =>
      allPastSlices(catalog).map((slice) => ({
        view: slice.view,
        version: slice.version,
        part: slice.part,
        from_cut: slice.from,
        to_cut: slice.to,
        rows: slice.rows,
        bytes: slice.bytes,
        superseded_at: slice.supersededMs === null ? null : timestamp(slice.supersededMs),
        path: slice.path,
      })),
  },
  batches: {
    columns: batchColumns,
    rows: ({ catalog }) => batches(catalog, ROWS_MAX).map(batchTableRow).reverse(),
  },
  divergence: {
    columns: divergenceColumns,
    rows: ({ catalog }) => divergenceTableRows(catalog, ROWS_MAX),
  },
  lake_files: {
    columns: {
      stream: 'VARCHAR',
      from_cut: 'BIGINT',
      to_cut: 'BIGINT',
      rows: 'BIGINT',
      bytes: 'BIGINT',
      path: 'VARCHAR',
    },
    rows: ({ catalog }) =>
      lakeManifest(catalog).files.map((file) => ({
        stream: file.stream,
        from_cut: file.from,
        to_cut: file.to,
        rows: file.rows,
        bytes: file.bytes,
        path: file.path,
      })),
  },
  segments: {
    columns: {
      segment: 'BIGINT',
      from_cut: 'BIGINT',
      to_cut: 'BIGINT',
      bytes: 'BIGINT',
      events: 'BIGINT',
      closed: 'BOOLEAN',
      path: 'VARCHAR',
    },
    rows: ({ log }) =>
      log.manifest().segments.map((segment) => ({
        segment: segment.number,
        from_cut: segment.base,
        to_cut: segment.last,
        bytes: segment.bytes,
        events: Object.values(segment.events).reduce((sum, count) => sum + count, 0),
        closed: segment.closed,
        path: segment.path,
      })),
  },
  cuts: {
    columns: { time: 'TIMESTAMP', cut: 'BIGINT', what: 'VARCHAR', versions: 'JSON' },
    rows: ({ catalog }) =>
      cuts(catalog, ROWS_MAX).map((entry) => ({
        time: timestamp(entry.timeMs),
        cut: entry.cut,
        what: entry.what,
        versions: JSON.stringify(entry.versions),
      })),
  },
  reports: {
    columns: {
      ...{ reported_at: 'TIMESTAMP', cut: 'BIGINT', versions: 'JSON' },
      ...{ stalled: 'JSON', batches: 'JSON' },
    },
    rows: ({ reports }) =>
      reports.recent(ROWS_MAX).map((entry) => ({
        reported_at: utcText(entry.us).replace('T', ' ').replace('Z', ''),
        cut: entry.cut,
        versions: JSON.stringify(entry.versions),
        stalled: JSON.stringify(entry.stalledAt),
        batches: JSON.stringify(entry.batches),
      })),
  },
  audit: {
    columns: { time: 'TIMESTAMP', what: 'VARCHAR', details: 'JSON' },
    rows: ({ catalog }) =>
      audit(catalog, ROWS_MAX).map((entry) => ({
        time: timestamp(entry.timeMs),
        what: entry.what,
        details: JSON.stringify(entry.details),
      })),
  },
  verify: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      cut: 'BIGINT',
      time: 'TIMESTAMP',
      share: 'DOUBLE',
      took_ms: 'BIGINT',
      groups: 'BIGINT',
      found: 'BIGINT',
      findings: 'JSON',
      error: 'VARCHAR',
    },
    rows: ({ catalog }) =>
      verifyResults<VerifyReport>(catalog, ROWS_MAX).map(({ report }) => ({
        view: report.view,
        version: report.version,
        cut: report.cut,
        time: timestamp(report.timeMs),
        share: report.share,
        took_ms: report.tookMs,
        groups: report.groups,
        found: report.found,
        findings: JSON.stringify(report.findings),
        error: report.error ?? null,
      })),
  },
  checks: {
    columns: {
      check: 'VARCHAR',
      verdict: 'VARCHAR',
      cut: 'BIGINT',
      time: 'TIMESTAMP',
      deploy: 'BIGINT',
      live: 'BOOLEAN',
      text: 'VARCHAR',
      rows: 'JSON',
      versions: 'JSON',
    },
    rows: ({ catalog }) =>
      checkResults(catalog, ROWS_MAX).map((result) => ({
        check: result.name,
        verdict: result.verdict,
        cut: result.cut,
        time: timestamp(result.timeMs),
        deploy: result.deploy ?? null,
        live: result.live,
        text: result.text,
        rows: JSON.stringify(result.rows),
        versions: JSON.stringify(result.versions),
      })),
  },
  dead_letters: {
    columns: {
      stream: 'VARCHAR',
      commit: 'BIGINT',
      index: 'INTEGER',
      time: 'TIMESTAMP',
      code: 'VARCHAR',
      reason: 'VARCHAR',
      place: 'VARCHAR',
      raw: 'VARCHAR',
    },
    rows: deadLetterRows,
  },
  skipped: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      commit: 'BIGINT',
      index: 'INTEGER',
      stream: 'VARCHAR',
      partition: 'INTEGER',
      offset: 'BIGINT',
      time: 'TIMESTAMP',
      code: 'VARCHAR',
      message: 'VARCHAR',
      stack: 'VARCHAR',
    },
    rows: ({ catalog }) =>
      allSkipped(catalog).map(({ timeMs, stack = null, code = 'EVENT_SKIPPED', ...row }) => ({
        ...row,
        time: timestamp(timeMs),
        ...{ code, stack },
      })),
  },
  paused: {
    columns: { view: 'VARCHAR', version: 'VARCHAR', since: 'TIMESTAMP', reason: 'VARCHAR' },
    rows: ({ catalog }) =>
      pausedVersions(catalog).map(({ view, version, timeMs, reason }) => ({
        ...{ view, version, reason },
        since: timestamp(timeMs),
      })),
  },
  late: {
    columns: {
      view: 'VARCHAR',
      version: 'VARCHAR',
      stream: 'VARCHAR',
      late: 'VARCHAR',
      state: 'VARCHAR',
      from_cut: 'BIGINT',
      to_cut: 'BIGINT',
      events: 'BIGINT',
      batch: 'BIGINT',
      taken_at: 'TIMESTAMP',
    },
    rows: (context) =>
      lateStretches(context).map(({ from, to, takenMs, ...row }) => ({
        ...row,
        ...{ from_cut: from, to_cut: to },
        taken_at: takenMs === null ? null : timestamp(takenMs),
      })),
  },
  conservation: {
    columns: {
      stream: 'VARCHAR',
      view: 'VARCHAR',
      received: 'BIGINT',
      accepted: 'BIGINT',
      duplicate: 'BIGINT',
      rejected: 'BIGINT',
      folded: 'BIGINT',
      pending: 'BIGINT',
      skipped: 'BIGINT',
      held: 'BIGINT',
    },
    rows: (context) => conservation(context).map((row) => ({ ...row })),
  },
}

/** Columns of every system table, for `explain` and for error messages. */
export function systemTableColumns(): Readonly<Record<string, readonly Column[]>> {
  return Object.fromEntries(Object.entries(tables).map(([name, { columns }]) => [name, columnsOf(columns)]))
}

/**
 * The tables that an SQL text may name; a text test, since a table too many only costs its rows. Those that it does
 * not name are there without rows, so that a wrong name is told the nearest right one.
 */
export async function systemTablesFor(context: ServerContext, sql: string): Promise<SqlRead['system']> {
  const named: Record<string, SqlRead['system'][string]> = {}
  const text = sql.toLowerCase()
  if (!text.includes('refold')) return named
  for (const [name, table] of Object.entries(tables)) {
    const rows = text.includes(name) ? await table.rows(context) : []
    named[name] = { columns: columnsOf(table.columns), rows }
  }
  return named
}

function columnsOf(columns: Readonly<Record<string, string>>): readonly Column[] {
  return Object.entries(columns).map(([name, type]) => ({ name, type }))
}

function streamRows(context: ServerContext): readonly Row[] {
  const { counts, watermarksUs } = context.log.state()
  return context.streams().map((stream) => ({
    stream: stream.name,
    partitions: stream.partitions,
    id: stream.id ?? null,
    key: stream.key ?? null,
    time: stream.time ?? null,
    accepted: counts[stream.name]?.accepted ?? 0,
    duplicate: counts[stream.name]?.duplicate ?? 0,
    rejected: counts[stream.name]?.rejected ?? 0,
    watermark: microTimestamp(watermarksUs[stream.name]),
  }))
}

function deployRow({ id, state, request, plan, outcome, reason, createdMs, changedMs }: Deploy): Row {
  return {
    deploy: id,
    state,
    who: request.author.who,
    source: request.author.source ?? null,
    begun_at: timestamp(createdMs),
    changed_at: timestamp(changedMs),
    compared_cut: outcome.comparedAt ?? null,
    cutover_cut: outcome.cutoverAt ?? null,
    events: outcome.events ?? null,
    seconds: outcome.seconds ?? null,
    accepted: outcome.accepted ?? null,
    reason,
    views: JSON.stringify(outcome.views ?? []),
    plan: JSON.stringify(plan),
  }
}

function viewRows(context: ServerContext): readonly Row[] {
  const pointers = serving(context.catalog)
  const ways = runs(context.catalog)
  return versions(context.catalog)
    .filter((row) => row.state === 'live' || row.state === 'building')
    .map((row) => {
      const progress = context.supervisor.viewProgress(row.view, row.version)
      const cut = progress?.cut ?? row.sealed
      const { kind: way, ...options } = ways[row.view] ?? { kind: 'kappa' as const }
      return {
        view: row.view,
        version: row.version,
        state:
          progress?.stalled !== undefined
            ? 'stalled'
            : pointers[row.view] === row.version
              ? 'live'
              : row.state,
        cut,
        sealed_cut: row.sealed,
        lag_ms: context.history.lagMs(cut, context.clock.nowMs()),
        tail_rows: progress?.tailRows ?? 0,
        groups: progress?.groups ?? 0,
        run: way,
        run_options: JSON.stringify(options),
        sql: row.sql,
      }
    })
}

async function deadLetterRows(context: ServerContext): Promise<readonly Row[]> {
  const rows: Row[] = []
  const add = (
    commit: number,
    timeMs: number,
    letter: Omit<Parameters<typeof toRow>[0], 'commit' | 'timeMs'>,
  ) => rows.push(toRow({ ...letter, commit, timeMs }))
  for (const letter of deadLetters(context.catalog, ROWS_MAX)) add(letter.commit, letter.timeMs, letter)
  await context.pins.with(async ({ log, lake }) => {
    const from = Math.max(lake.through, log.segments[0]?.base ?? 0)
    for await (const { header, letter } of context.reader.deadLetters(log, { from, to: log.durable })) {
      add(header.commit, header.timeMs, letter)
    }
  })
  return rows.slice(-ROWS_MAX)
}

function toRow(letter: {
  readonly commit: number
  readonly timeMs: number
  readonly stream: string
  readonly index: number
  readonly code: string
  readonly reason: string
  readonly place: string
  readonly raw: string
}): Row {
  const { stream, commit, index, code, reason, place, raw } = letter
  return { stream, commit, index, time: timestamp(letter.timeMs), code, reason, place, raw }
}

/** DuckDB's form of a timestamp in UTC. */
function timestamp(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('T', ' ').replace('Z', '')
}

function microTimestamp(timeUs: number | undefined): string | null {
  return timeUs === undefined ? null : timestamp(Math.floor(timeUs / 1000))
}
