/**
 * Turns what a project file declares into a `ProjectDef`: checks names and settings, lowers every schema, puts in
 * defaults. It never stops at a mistake, so that a user sees all of them at once, each with its place. State: the
 * mistakes of the project being resolved.
 */

import { RefoldError } from '../model/errors.ts'
import { nearestName } from '../std/nearest-name.ts'
import type { CodeFiles } from './code.ts'
import type { FoldSpec } from './fold.ts'
import type { FunctionSpec } from './function.ts'
import type { FunctionDef } from './function-def.ts'
import { type CallSite, filesOnStack, SourcePlaces } from './places.ts'
import { checkProjectName, NameTable } from './project-names.ts'
import type { Refuse } from './refuse.ts'
import { type BatchSource, hasLayers, type LayerTexts, layerTexts, resolveBatch } from './resolve-batch.ts'
import { checkNames, resolveCheck } from './resolve-check.ts'
import { resolveExpect } from './resolve-expect.ts'
import { resolveFold } from './resolve-fold.ts'
import { resolveFunction } from './resolve-function.ts'
import { checkLate } from './resolve-late.ts'
import { resolveRun } from './resolve-run.ts'
import { resolveStream } from './resolve-stream.ts'
import { resolveSettings } from './settings.ts'
import type { CheckSpec, ProjectOptions, ProjectSpec, StreamSpec, ViewSpec } from './spec.ts'
import type { ProjectDef, ViewDef } from './types.ts'

export interface ProjectSource {
  /** Absolute path of the project file. */
  readonly file: string
  readonly root: string
  /** What the file exports as default. */
  readonly exported: unknown
  readonly sqlFiles: readonly { readonly name: string; readonly file: string; readonly sql: string }[]
  /** Of a file's bytes, by its absolute path; undefined where there is none. */
  readonly fileHash?: (path: string) => string | undefined
  /** The root without links. */
  readonly realRoot?: string
  /** Names in a folder, for hints. */
  readonly filesIn?: (folder: string) => readonly string[]
  /** What a file of the project is made of, imports included; undefined for a file that is none. */
  readonly codeOf?: (file: string) => CodeFiles | undefined
  /** Hashes of files and of all that they import, by their path below the root. */
  readonly sourcesOf?: (files: readonly string[]) => Readonly<Record<string, string>>
}

export type Resolved =
  | { readonly ok: true; readonly project: ProjectDef }
  | { readonly ok: false; readonly mistakes: readonly RefoldError[] }

export function resolveProject(source: ProjectSource): Resolved {
  const mistakes: RefoldError[] = []
  const refuse: Refuse = (code, message, place, hint) => {
    mistakes.push(new RefoldError(code, message, hint === undefined ? { place } : { place, hint }))
  }
  const start = { file: source.file, line: 1, column: 1 }
  const spec = source.exported as Partial<ProjectSpec> | null | undefined
  if (typeof spec !== 'object' || spec?.kind !== 'project') {
    refuse('PROJECT_INVALID', 'the project file has no `export default project({ … })`', start)
    return { ok: false, mistakes }
  }
  const places = new SourcePlaces()
  const site = places.call(spec.calledAt ?? '', source.file)
  const options = spec.options
  if (typeof options !== 'object' || options === null) {
    refuse('PROJECT_INVALID', 'project() was called without { streams, views }', site.place)
    return { ok: false, mistakes }
  }
  const project = assemble(source, options, site, places, refuse)
  if (mistakes.length > 0) return { ok: false, mistakes: mistakes.sort(byPlace) }
  return { ok: true, project }
}

function assemble(
  source: ProjectSource,
  options: ProjectOptions,
  site: CallSite,
  places: SourcePlaces,
  refuse: Refuse,
): ProjectDef {
  checkKeys(options, site, refuse)
  const settings = resolveSettings(options, source.root, (path, message, hint) => {
    refuse('PROJECT_SETTING', `setting "${path.join('.')}": ${message}`, site.option(path), hint)
  })
  if (options.name !== undefined) checkProjectName(options.name, site.option(['name']), refuse)
  const names = new NameTable(refuse)
  const streams = listOf(options.streams, 'streams', site, refuse).flatMap((spec) => {
    if (!isSpec<StreamSpec>(spec, 'stream')) return misplaced('streams', 'stream', site, refuse)
    const call = places.call(spec.calledAt, source.file)
    names.add('stream', spec.name, call.name)
    const stream = resolveStream(spec, call, refuse)
    return stream === undefined ? [] : [stream]
  })
  const layers = layerFiles(source)
  const views = listOf(options.views ?? [], 'views', site, refuse).flatMap((spec) => {
    if (isSpec<FoldSpec>(spec, 'fold')) {
      const call = places.call(spec.calledAt, source.file)
      names.add('view', spec.name, call.name)
      const view = resolveFold(spec, call, source, refuse)
      return view === undefined ? [] : [{ ...view, ...sourcesFor(source, filesOnStack(spec.calledAt)) }]
    }
    if (!isSpec<ViewSpec>(spec, 'view')) return misplaced('views', 'view', site, refuse)
    const call = places.call(spec.calledAt, source.file)
    names.add('view', spec.name, call.name)
    const files = layers.take(spec.name)
    const view = resolveView(spec, call, files, source, refuse)
    const made = [...filesOnStack(spec.calledAt), ...Object.values(files).map(({ place }) => place.file)]
    return view === undefined ? [] : [{ ...view, ...sourcesFor(source, made) }]
  })
  layers.refuseRest(refuse)
  for (const { name, file, sql } of source.sqlFiles) {
    if (LAYER_FILE.test(name)) continue
    const sqlPlace = { file, line: 1, column: 1 }
    names.add('view', name, sqlPlace)
    if (sql.trim() === '') refuse('PROJECT_INVALID', `view "${name}" has no SQL: the file is empty`, sqlPlace)
    const sources = sourcesFor(source, [file])
    views.push({ name, sql, sqlPlace, run: { kind: 'kappa' }, onError: 'stall', ...sources })
  }
  const functions = resolveFunctions(source, options, site, places, refuse)
  const checks = listOf(options.checks ?? [], 'checks', site, refuse).flatMap((spec) => {
    if (!isSpec<CheckSpec>(spec, 'check')) return misplaced('checks', 'check', site, refuse)
    const call = places.call(spec.calledAt, source.file)
    const check = resolveCheck(spec, call, { root: source.root, file: source.file, views }, refuse)
    return check === undefined ? [] : [check]
  })
  checkNames(checks, refuse)
  const more = functions.length === 0 ? {} : { functions }
  return { ...settings, root: source.root, file: source.file, streams, views, ...more, checks }
}

function resolveFunctions(
  source: ProjectSource,
  options: ProjectOptions,
  site: CallSite,
  places: SourcePlaces,
  refuse: Refuse,
): readonly FunctionDef[] {
  const seen = new Map<string, FunctionDef>()
  for (const spec of listOf(options.functions ?? [], 'functions', site, refuse)) {
    if (!isSpec<FunctionSpec>(spec, 'function')) {
      misplaced('functions', 'fn', site, refuse)
      continue
    }
    const call = places.call(spec.calledAt, source.file)
    const made = resolveFunction(spec, call, source, refuse)
    if (made === undefined) continue
    const other = seen.get(made.name.toLowerCase())
    if (other === undefined) seen.set(made.name.toLowerCase(), made)
    else {
      const hint = `The other one is at ${other.place.file}:${other.place.line}; rename one of the two.`
      refuse(
        'PROJECT_NAME',
        `function "${made.name}": there already is a function of this name`,
        call.name,
        hint,
      )
    }
  }
  return [...seen.values()]
}

function sourcesFor(source: ProjectSource, files: readonly string[]): Pick<ViewDef, 'sources'> {
  return source.sourcesOf === undefined ? {} : { sources: source.sourcesOf(files) }
}

/** `views/NAME.batch.sql` and `views/NAME.speed.sql`, without their ending. */
const LAYER_FILE = /^(.*)\.(batch|speed)$/

interface LayerFiles {
  /** The texts of a view, which are no longer left over then. */
  take(view: string): Partial<LayerTexts>
  refuseRest(refuse: Refuse): void
}

function layerFiles({ sqlFiles }: ProjectSource): LayerFiles {
  const left = new Map<string, Partial<LayerTexts>>()
  for (const { name, file, sql } of sqlFiles) {
    const [, view, layer] = LAYER_FILE.exec(name) ?? []
    if (view === undefined || layer === undefined) continue
    left.set(view, { ...left.get(view), [layer]: { sql, place: { file, line: 1, column: 1 } } })
  }
  return {
    take(view) {
      const texts = left.get(view) ?? {}
      left.delete(view)
      return texts
    },
    refuseRest(refuse) {
      for (const [view, texts] of left) {
        for (const { place } of Object.values(texts)) {
          const hint = `Declare it: view('${view}', { key: […], merge: { … }, run: lambda({ … }) }) in \`views\`.`
          refuse('PROJECT_INVALID', `the project has no view "${view}" with two definitions`, place, hint)
        }
      }
    },
  }
}

function resolveView(
  spec: ViewSpec,
  call: CallSite,
  files: Partial<LayerTexts>,
  source: BatchSource,
  refuse: Refuse,
): ViewDef | undefined {
  const { name, run, late, onError } = spec
  const what = `view "${String(name)}"`
  const two = hasLayers(spec) || Object.keys(files).length > 0
  const texts = two ? layerTexts(spec, files, call, refuse) : undefined
  if (two && texts === undefined) return undefined
  const sql = texts?.speed.sql ?? spec.sql
  if (typeof sql !== 'string' || sql.trim() === '') {
    refuse(
      'PROJECT_INVALID',
      `${what} has no SQL`,
      call.option(['sql']),
      'Give it `sql`, a SELECT over streams.',
    )
    return undefined
  }
  const runDef = resolveRun(what, run, call, refuse)
  checkLate(what, late, runDef, call, refuse)
  if (onError !== undefined && onError !== 'stall' && onError !== 'skip') {
    const hint = 'Use "stall" or "skip".'
    refuse(
      'PROJECT_SETTING',
      `${what}: onError ${JSON.stringify(onError)} is not known`,
      call.option(['onError']),
      hint,
    )
  }
  const expect = resolveExpect(what, spec.expect, call, refuse)
  const batch = texts && resolveBatch(spec, texts.batch, runDef, call, source, refuse)
  return {
    ...{ name, sql, sqlPlace: texts?.speed.place ?? call.text('sql'), run: runDef },
    onError: onError ?? 'stall',
    ...(batch === undefined ? {} : { batch }),
    ...(late === 'hold' ? { late } : {}),
    ...(expect.length === 0 ? {} : { expect }),
  }
}

function listOf(list: unknown, key: string, site: CallSite, refuse: Refuse): readonly unknown[] {
  if (Array.isArray(list)) return list as unknown[]
  const what = list === undefined ? `project() has no \`${key}\`` : `\`${key}\` is not an array`
  refuse('PROJECT_INVALID', what, site.option([key]), `Give it \`${key}: [ … ]\`.`)
  return []
}

function isSpec<Spec extends { readonly kind: string }>(value: unknown, kind: Spec['kind']): value is Spec {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === kind
}

function misplaced(key: string, builder: string, site: CallSite, refuse: Refuse): never[] {
  refuse('PROJECT_INVALID', `\`${key}\` holds something that ${builder}() did not make`, site.option([key]))
  return []
}

const knownKeys: Readonly<Record<string, readonly string[]>> = {
  '': [
    ...[
      'name',
      'streams',
      'views',
      'functions',
      'checks',
      'data',
      'server',
      'engine',
      'seal',
      'warm',
      'history',
      'verify',
    ],
    'limits',
  ],
  server: ['host', 'port', 'token'],
  engine: ['memory', 'threads', 'statementTimeout', 'heavyStatements'],
  seal: ['rows', 'bytes', 'age'],
  history: ['quick', 'fine'],
  verify: ['every', 'sample'],
  limits: ['eventBytes', 'requestBytes', 'expandedBytes', 'depth', 'requestEvents', 'queueBytes'],
}

/** A setting with a misspelt name would otherwise do nothing, in silence. */
function checkKeys(options: object, site: CallSite, refuse: Refuse): void {
  for (const [group, known] of Object.entries(knownKeys)) {
    const object = group === '' ? options : (options as Readonly<Record<string, unknown>>)[group]
    if (typeof object !== 'object' || object === null) continue
    for (const key of Object.keys(object)) {
      if (known.includes(key)) continue
      const path = group === '' ? [key] : [group, key]
      const nearest = nearestName(key, known)
      const hint = nearest === undefined ? `Known: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
      refuse('PROJECT_SETTING', `setting "${path.join('.')}" does not exist`, site.option(path), hint)
    }
  }
}

function byPlace(a: RefoldError, b: RefoldError): number {
  const left = a.place?.file ?? ''
  const right = b.place?.file ?? ''
  if (left !== right) return left < right ? -1 : 1
  return (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0)
}
