/** The text of `refold status`, from the server's JSON. No state. */

import { sep } from 'node:path'
import { grouped } from './ingest-meter.ts'
import { shortVersion } from './query.ts'
import { formatTable, type TableOptions, type TableRow } from './table.ts'

export interface ServerStatus {
  readonly project: string
  readonly dataDir: string
  readonly pid: number
  readonly cut: number
  readonly lastCommitAt: string | null
  readonly streams: readonly StreamStatus[]
  readonly views: readonly ViewStatus[]
  readonly conservation?: readonly { readonly view: string | null; readonly held: number | null }[]
  /** How the project's file on the server differs from what is deployed. */
  readonly differs?: {
    readonly streams?: readonly string[]
    readonly views?: readonly string[]
    readonly problem?: string
  } | null
  readonly deploy?: {
    readonly id: number
    readonly state: string
    readonly who: string
    readonly reason?: string
    readonly views: readonly { readonly view: string; readonly percent?: number }[]
  } | null
  readonly alarms?: readonly {
    readonly view: string
    readonly kind: string
    readonly since: string
    readonly message: string
  }[]
  readonly checks?: readonly {
    readonly name: string
    readonly verdict: string | null
    readonly text: string | null
  }[]
  readonly verify?: readonly {
    readonly view: string
    readonly cut: number
    readonly found: number
    readonly findings: readonly { readonly text: string }[]
    readonly error: string | null
  }[]
  readonly engine: {
    readonly state: string
    readonly restarts: number
    readonly tickMs: number
    readonly ticks: number
  }
  readonly log: { readonly segments: number; readonly bytes: number; readonly problem: string | null }
  readonly lake: {
    readonly through: number
    readonly files: number
    readonly rows: number
    readonly bytes: number
  }
}

interface StreamStatus {
  readonly name: string
  readonly partitions: number
  readonly accepted: number
  readonly duplicate: number
  readonly rejected: number
  readonly watermark: string | null
}

interface ViewStatus {
  readonly name: string
  readonly version: string
  readonly serving: boolean
  readonly run?: { readonly kind: string }
  readonly state: string
  readonly cut: number
  readonly lagMs: number
  readonly groups: number
  readonly tailRows: number
  readonly slices: number
  readonly sliceRows: number
  readonly reason?: string
  readonly build?: { readonly done: number; readonly to: number }
  readonly stalled?: { readonly message: string }
  /** Why it is not folded. */
  readonly paused?: string
}

export function formatStatus(status: ServerStatus, url: string, options: TableOptions): string {
  const { style } = options
  const { engine, log, lake } = status
  const since = status.lastCommitAt === null ? 'nothing written yet' : `last write ${status.lastCommitAt}`
  const lines = [
    `${style.bold(status.project)} at ${url} · pid ${status.pid} · cut ${status.cut} · ${since}`,
    style.dim(status.dataDir.endsWith(sep) ? status.dataDir : `${status.dataDir}${sep}`),
    '',
    formatTable(streamColumns, status.streams.map(streamRow), options),
    formatTable(viewColumns, status.views.map(viewRow), options),
    `engine ${engine.state}, ${counted(engine.ticks, 'tick')}, last ${engine.tickMs.toFixed(1)} ms, ${counted(engine.restarts, 'restart')}`,
    `log    ${counted(log.segments, 'segment')}, ${bytes(log.bytes)}`,
    `lake   ${counted(lake.files, 'file')}, ${grouped(lake.rows)} events, ${bytes(lake.bytes)}, through cut ${lake.through}`,
    ...heldLines(status),
    ...deployLines(status),
    ...(log.problem === null ? [] : [style.red(`log    ${log.problem}`)]),
    ...(status.alarms ?? []).map(({ view, kind, message }) =>
      style.red(`alarm  view ${view}: ${kind}: ${message}`),
    ),
    ...(status.checks ?? []).flatMap((check) => checkProblems(check).map((text) => style.red(text))),
    ...(status.verify ?? []).flatMap((run) => verifyProblems(run).map((text) => style.red(text))),
    ...status.views.flatMap((view) => viewProblems(view).map((text) => style.yellow(text))),
  ]
  return `${lines.join('\n')}\n`
}

function heldLines({ conservation = [] }: ServerStatus): readonly string[] {
  return conservation
    .filter(({ held }) => held !== null && held > 0)
    .map(
      ({ view, held }) => `late   view ${view} holds ${counted(held ?? 0, 'event')} back for its next batch`,
    )
}

const streamColumns = [
  { name: 'stream', type: 'VARCHAR' },
  { name: 'partitions', type: 'INTEGER' },
  { name: 'accepted', type: 'VARCHAR' },
  { name: 'duplicates', type: 'VARCHAR' },
  { name: 'rejected', type: 'VARCHAR' },
  { name: 'watermark', type: 'VARCHAR' },
].map((column) =>
  ['accepted', 'duplicates', 'rejected'].includes(column.name) ? { ...column, type: 'BIGINT' } : column,
)

function streamRow(stream: StreamStatus): TableRow {
  return {
    stream: stream.name,
    partitions: stream.partitions,
    accepted: grouped(stream.accepted),
    duplicates: grouped(stream.duplicate),
    rejected: grouped(stream.rejected),
    watermark: stream.watermark ?? '–',
  }
}

const viewColumns = [
  { name: 'view', type: 'VARCHAR' },
  { name: 'version', type: 'VARCHAR' },
  { name: 'runs as', type: 'VARCHAR' },
  { name: 'state', type: 'VARCHAR' },
  { name: 'cut', type: 'BIGINT' },
  { name: 'lag', type: 'BIGINT' },
  { name: 'groups', type: 'BIGINT' },
  { name: 'tail rows', type: 'BIGINT' },
  { name: 'slices', type: 'BIGINT' },
  { name: 'slice rows', type: 'BIGINT' },
]

function viewRow(view: ViewStatus): TableRow {
  return {
    view: view.name,
    version: shortVersion(view.version),
    'runs as': view.run?.kind ?? 'kappa',
    state: view.build === undefined ? view.state : `building ${builtPercent(view.build)}%`,
    cut: view.state === 'failed' ? '–' : view.cut,
    lag:
      view.state === 'failed'
        ? '–'
        : view.lagMs < 1_000
          ? `${Math.round(view.lagMs)} ms`
          : `${(view.lagMs / 1_000).toFixed(1)} s`,
    groups: grouped(view.groups),
    'tail rows': grouped(view.tailRows),
    slices: grouped(view.slices),
    'slice rows': grouped(view.sliceRows),
  }
}

export function builtPercent(build: { readonly done: number; readonly to: number }): number {
  return build.to === 0 ? 100 : Math.min(100, Math.floor((build.done / build.to) * 100))
}

/** A deploy that is not over, and a project file that says other than what is deployed. */
function deployLines({ deploy, differs }: ServerStatus): readonly string[] {
  const lines: string[] = []
  if (
    deploy !== undefined &&
    deploy !== null &&
    !/^(live|rolled_back|cancelled|failed)$/.test(deploy.state)
  ) {
    const percent = deploy.views.flatMap(({ view, percent: of }) =>
      of === undefined ? [] : [`${view} ${of} %`],
    )
    const reason = deploy.reason === undefined ? '' : `: ${deploy.reason}`
    const far = percent.length === 0 ? '' : `, ${percent.join(', ')}`
    lines.push(`deploy ${deploy.id} by ${deploy.who}: ${deploy.state.replace('_', ' ')}${far}${reason}`)
  }
  if (differs === undefined || differs === null) return lines
  const what = [
    ...(differs.streams ?? []).map((name) => `stream ${name}`),
    ...(differs.views ?? []).map((name) => `view ${name}`),
  ]
  const text = differs.problem ?? what.join(', ')
  lines.push(`file   differs from what is deployed (${text}); \`refold deploy\` carries it out`)
  return lines
}

function viewProblems(view: ViewStatus): readonly string[] {
  // Said as an alarm.
  if (view.paused !== undefined) return []
  if (view.stalled !== undefined) return [`view "${view.name}" stands still: ${view.stalled.message}`]
  return view.reason === undefined ? [] : [`view "${view.name}" could not be folded: ${view.reason}`]
}

function verifyProblems({
  view,
  cut,
  found,
  findings,
  error,
}: NonNullable<ServerStatus['verify']>[number]): readonly string[] {
  if (error !== null) return [`view "${view}" could not be verified: ${error}`]
  if (found === 0) return []
  return [
    `view "${view}" is damaged: ${counted(found, 'finding')} at cut ${cut}; see refold verify`,
    ...findings.map(({ text }) => `  ${text}`),
  ]
}

function checkProblems({
  name,
  verdict,
  text,
}: NonNullable<ServerStatus['checks']>[number]): readonly string[] {
  return verdict === null || verdict === 'green' ? [] : [`check "${name}" is ${verdict}: ${text}`]
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}

function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3))
  return `${power === 0 ? count : (count / 1000 ** power).toFixed(1)} ${units[power]}`
}
