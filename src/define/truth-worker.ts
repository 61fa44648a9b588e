/**
 * The process in which the function of one check runs: imports the project file, calls the function, sends its rows
 * back as text. State: the one call.
 */

import { registerHooks } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { TruthAnswer } from './call-truth.ts'
import { resolveProjectModule } from './project-modules.ts'
import type { CheckSpec, ProjectSpec } from './spec.ts'

interface Request {
  readonly check: string
  readonly file: string
  readonly rowsMax: number
}

registerHooks({ resolve: resolveProjectModule })
process.once('message', (request) => void answer(request as Request))
process.on('disconnect', () => process.exit(0))

async function answer(request: Request): Promise<void> {
  process.send?.(await rowsOf(request), undefined, undefined, () => {})
}

async function rowsOf({ check, file, rowsMax }: Request): Promise<TruthAnswer> {
  try {
    // Relative paths mean what they mean in the project file's folder.
    process.chdir(path.dirname(file))
    const { default: project } = (await import(pathToFileURL(file).href)) as {
      readonly default?: Partial<ProjectSpec>
    }
    const specs = (project?.options?.checks ?? []) as readonly Partial<CheckSpec>[]
    const call = specs.find((spec) => spec?.name === check)?.options?.truth
    if (typeof call !== 'function') return failed(`is no longer in "${file}"`)
    const rows: unknown = await call()
    const fault = faultOf(rows, rowsMax)
    if (fault !== undefined) return failed(`gave what is no list of rows: ${fault}`)
    return { kind: 'refold-truth', ok: true, rows: JSON.stringify(rows, plainText) }
  } catch (error) {
    return failed(`failed: ${error instanceof Error ? firstLines(error) : String(error)}`)
  }
}

function failed(message: string): TruthAnswer {
  return { kind: 'refold-truth', ok: false, message }
}

/** Message and first place of the stack in the user's own files. */
function firstLines(error: Error): string {
  const frame = /\n\s+at .*?((?:file:\/\/|\/|[A-Za-z]:\\)(?!.*node:)[^\n)]*:\d+:\d+)/.exec(error.stack ?? '')
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : ''
  return `${error.message}${cause}${frame === null ? '' : ` at ${frame[1]}`}`
}

function faultOf(rows: unknown, rowsMax: number): string | undefined {
  if (!Array.isArray(rows)) return `${kindOf(rows)} instead of an array of objects`
  if (rows.length > rowsMax) return `it has ${rows.length} rows, more than ${rowsMax}; sum them up further`
  for (const [index, row] of (rows as unknown[]).entries()) {
    if (kindOf(row) !== 'object') return `row ${index + 1} is ${kindOf(row)} instead of an object`
    for (const [column, value] of Object.entries(row as object)) {
      if (!isPlain(value)) return `row ${index + 1} has ${kindOf(value)} in column "${column}"`
    }
  }
  return undefined
}

function isPlain(value: unknown): boolean {
  if (value instanceof Date) return !Number.isNaN(value.getTime())
  if (typeof value === 'number') return Number.isFinite(value)
  return value === null || ['string', 'boolean', 'bigint'].includes(typeof value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Date) return 'a date that is none'
  if (typeof value === 'number') return String(value)
  return typeof value
}

/** Dates have become ISO texts already. */
function plainText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
