/**
 * A project that came over the wire: JSON that claims to be what `loadProject` made. Nothing of it is trusted: its
 * shape is checked key by key, and everything that becomes a part of SQL or of a path (names, precisions, defaults)
 * by the same rules as in a project file. All faults come at once, each with its path. No state.
 *
 * Where the sender keeps its files, and how its server listens, is the sender's own: the receiving server takes those
 * from the project that it was started with.
 */

import { isAbsolute, relative } from 'node:path'
import { z } from 'zod'
import { RefoldError } from '../model/errors.ts'
import type { Field, FieldType, ObjectType, StreamDef } from '../model/schema.ts'
import { compileWriter } from '../model/value-writer.ts'
import { codeHash, isCodePath } from './code.ts'
import { cronMistake } from './cron.ts'
import { NameTable } from './project-names.ts'
import { roleFault } from './resolve-stream.ts'
import type { CheckDef, ProjectDef, ViewDef } from './types.ts'

const FAULTS_SHOWN = 20
const DEPTH_MAX = 100

/** Throws PROJECT_RECEIVED with everything that is wrong. */
export function receivedProject(sent: unknown, own: ProjectDef): ProjectDef {
  if (isDeeper(sent, DEPTH_MAX)) throw refused([`it is nested deeper than ${DEPTH_MAX}`])
  const parsed = projectShape.safeParse(sent)
  if (!parsed.success) {
    throw refused(parsed.error.issues.map((issue) => `${pathText(issue.path)}: ${issue.message}`))
  }
  // The text as it was sent: a copy made by the check would have its keys in another order.
  const project = sent as ProjectDef
  const faults = [
    ...nameFaults(project),
    ...project.streams.flatMap(streamFaults),
    ...project.views.flatMap((view) => foldFaults(view, project)),
    ...project.views.flatMap(batchFaults),
    ...(project.checks ?? []).flatMap((one) => truthFaults(one, own)),
  ]
  if (faults.length > 0) throw refused(faults)
  const { root, file, dataDir, server, engine } = own
  return { ...project, checks: project.checks ?? [], root, file, dataDir, server, engine }
}

function refused(faults: readonly string[]): RefoldError {
  const shown = faults.slice(0, FAULTS_SHOWN)
  const more = faults.length - shown.length
  const message = `what was sent is not a project as Refold loads it: ${shown.join('; ')}`
  return new RefoldError('PROJECT_RECEIVED', more > 0 ? `${message}; and ${more} more` : message, {
    details: { faults: shown },
  })
}

function pathText(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the project'
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
}

/** Without recursion, so that no depth can hurt. */
function isDeeper(value: unknown, limit: number): boolean {
  let level: unknown[] = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limit) return true
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []))
  }
  return false
}

// ---- shapes ---------------------------------------------------------------------------------------------------

const text = z.string().max(1_000_000)
const count = z.int().min(0)
const place = z.strictObject({ file: text, line: count, column: count })
const integerText = z.string().regex(/^-?\d{1,40}$/)

const fieldType: z.ZodType = z.lazy(() =>
  z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('boolean') }),
    z.strictObject({
      kind: z.literal('string'),
      minLength: count.optional(),
      maxLength: count.optional(),
      patterns: z.array(pattern).optional(),
      values: z.array(text).optional(),
      url: z.strictObject({ protocol: pattern.optional(), hostname: pattern.optional() }).optional(),
    }),
    z.strictObject({
      kind: z.literal('integer'),
      bits: z.union([z.literal(32), z.literal(64)]),
      minimum: integerText.optional(),
      maximum: integerText.optional(),
      multipleOf: integerText.optional(),
      values: z.array(integerText).optional(),
      text: z.literal(true).optional(),
    }),
    z.strictObject({
      kind: z.literal('double'),
      minimum: z.number().optional(),
      maximum: z.number().optional(),
      exclusiveMinimum: z.number().optional(),
      exclusiveMaximum: z.number().optional(),
      multipleOf: z.number().optional(),
    }),
    z
      .strictObject({
        kind: z.literal('decimal'),
        precision: z.int().min(1).max(38),
        scale: z.int().min(0).max(38),
      })
      .refine((type) => type.scale <= type.precision, 'the scale is larger than the precision'),
    z.strictObject({ kind: z.literal('timestamp'), offset: z.literal(true).optional() }),
    z.strictObject({ kind: z.literal('date') }),
    z.strictObject({ kind: z.literal('uuid'), version: z.int().min(1).max(8).optional() }),
    z.strictObject({
      kind: z.literal('array'),
      element: fieldType,
      elementNullable: z.boolean(),
      minItems: count.optional(),
      maxItems: count.optional(),
    }),
    objectType,
    z.strictObject({ kind: z.literal('map'), value: fieldType, valueNullable: z.boolean() }),
    z.strictObject({ kind: z.literal('json') }),
  ]),
)

const pattern = text.refine(isPattern, 'is not a regular expression')

const fieldName = z
  .string()
  .min(1)
  .max(1000)
  .refine(
    (name) => name.isWellFormed() && !/\p{Cc}/u.test(name) && !name.startsWith('_'),
    'is not a name that a field may have',
  )

const field = z.strictObject({
  name: fieldName,
  type: fieldType,
  optional: z.boolean(),
  nullable: z.boolean(),
  defaultValue: z.json().optional(),
  aliases: z.array(fieldName).min(1).optional(),
})

const objectType = z.strictObject({ kind: z.literal('object'), fields: z.array(field).min(1).max(10_000) })

const stream = z.strictObject({
  name: text,
  schema: objectType,
  id: text.optional(),
  key: text.optional(),
  time: text.optional(),
  partitions: z.int().min(1).max(1024),
  dedupe: z.strictObject({ timeMs: count, count }),
  latenessMs: count,
  compatibility: z.enum(['backward', 'forward', 'full', 'none']).optional(),
  retention: z
    .strictObject({
      hotMs: count.optional(),
      lake: z
        .strictObject({ ageMs: count.optional(), bytes: count.optional(), promote: z.boolean() })
        .optional(),
    })
    .optional(),
})

const run = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('kappa') }),
  z.strictObject({
    kind: z.literal('lambda'),
    schedule: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('every'), everyMs: count.min(1) }),
      z.strictObject({
        kind: z.literal('cron'),
        cron: text.refine((given) => cronMistake(given) === undefined),
      }),
      z.strictObject({ kind: z.literal('events'), events: count.min(1) }),
    ]),
    incremental: z.boolean(),
    whenSpeedFails: z.enum(['stale', 'refuse']),
    maxSpanMs: count.min(1).optional(),
    maxDivergence: count,
  }),
  z.strictObject({ kind: z.literal('hybrid'), snapshotEveryMs: count.min(1), keep: count.min(1) }),
])

const batch = z.strictObject({
  sql: text.min(1),
  sqlPlace: place,
  key: z.array(text).min(1),
  keyPlace: place,
  merge: z.record(
    z.string(),
    z.union([
      z.strictObject({ kind: z.enum(['add', 'replace', 'min', 'max']) }),
      z.strictObject({ kind: z.literal('sql'), sql: text.min(1), place }),
    ]),
  ),
  mergePlace: place,
  approximate: z.array(text),
  approximatePlace: place,
  files: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
})

const view = z.strictObject({
  name: text,
  sql: text.min(1),
  sqlPlace: place,
  run,
  late: z.enum(['correct', 'hold']).optional(),
  onError: z.enum(['stall', 'skip']),
  batch: batch.optional(),
  fold: z.lazy(() => fold).optional(),
  expect: z.array(z.strictObject({ name: text, when: text, place })).optional(),
  sources: z.record(z.string(), z.string().max(200)).optional(),
})

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)
const codePath = text.refine(isCodePath, 'is not a path of a file relative to the project')
const code = z
  .strictObject({
    hash: sha256,
    entry: codePath,
    files: z.record(codePath, sha256),
    artefacts: z.record(
      text.min(1),
      z.strictObject({ path: codePath, hash: sha256, format: z.enum(['json', 'binary']) }),
    ),
    packages: z.record(text.min(1), text),
  })
  .refine((given) => codeHash(given) === given.hash, 'is not what its hash says')
  .refine(({ files, entry }) => files[entry] !== undefined, 'has no entry among its files')

const fold = z.strictObject({
  stream: text,
  key: z.array(text).min(1).max(50),
  reads: z.array(text).max(10_000).optional(),
  columns: z.array(field).min(1).max(1000),
  several: z.boolean(),
  merges: z.boolean(),
  stepMs: count.min(1),
  memoryBytes: count.min(16_000_000),
  code,
})

const functionType = z.strictObject({
  sql: z
    .string()
    .regex(/^(BOOLEAN|INTEGER|BIGINT|DOUBLE|VARCHAR|DATE|TIMESTAMP|UUID|JSON|DECIMAL\(\d{1,2},\d{1,2}\))$/),
  form: z.enum(['boolean', 'number', 'bigint', 'int', 'text', 'json']),
  list: z.literal(true).optional(),
})

const fn = z.strictObject({
  name: z.string().regex(/^[A-Za-z][A-Za-z0-9_]{0,62}$/),
  place,
  args: z.array(functionType).min(1).max(50),
  returns: functionType,
  nulls: z.enum(['skip', 'pass']),
  code,
})

const named = { sql: text.min(1), sqlPlace: place }
const amount = z.string().regex(/^\d{1,40}(\.\d{1,40})?$/)
const checkRule = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('nothing'), ...named }),
  z.strictObject({
    kind: z.literal('truth'),
    ...named,
    truth: z.discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('file'), path: text, format: z.enum(['csv', 'json', 'parquet']) }),
      z.strictObject({ kind: z.literal('function'), file: text }),
    ]),
    key: z.array(text),
    tolerance: z.record(z.string(), z.strictObject({ absolute: amount, relative: amount })),
  }),
  z.strictObject({
    kind: z.literal('changed'),
    view: text,
    limit: z.union([z.strictObject({ rows: count }), z.strictObject({ share: z.number().min(0).max(1) })]),
  }),
  z.strictObject({ kind: z.literal('rows'), view: text, min: count.optional(), max: count.optional() }),
])

const check = z.strictObject({
  name: text,
  place,
  rule: checkRule,
  everyMs: count.min(1).optional(),
  cutover: z.boolean(),
  timeoutMs: count.min(1),
})

/** Keys that the receiver has its own values for; they are looked at no further. */
const ownKeys = { root: text, file: text, dataDir: text, server: z.json(), engine: z.json() }

const share = z.number().gt(0).max(1)

const projectShape = z.strictObject({
  ...ownKeys,
  name: z.string().min(1).max(100),
  streams: z.array(stream).max(10_000),
  views: z.array(view).max(10_000),
  functions: z.array(fn).max(10_000).optional(),
  checks: z.array(check).max(10_000).optional(),
  seal: z.strictObject({ rows: count.min(1), bytes: count.min(1), ageMs: count.min(1) }),
  history: z.strictObject({ quickMs: count.min(1), fineMs: count.min(1) }).optional(),
  verify: z.strictObject({ everyMs: count.min(1), sample: share.optional() }).optional(),
  warmMs: count.optional(),
  limits: z.strictObject({
    eventBytes: count.min(2),
    requestBytes: count.min(2),
    expandedBytes: count.min(2),
    depth: z.int().min(1).max(1000),
    requestEvents: z.int().min(1).max(10_000_000),
    queueBytes: count.min(1),
  }),
})

function isPattern(source: string): boolean {
  try {
    new RegExp(source, 'u')
    return true
  } catch {
    try {
      new RegExp(source)
      return true
    } catch {
      return false
    }
  }
}

// ---- rules across values --------------------------------------------------------------------------------------

function nameFaults(project: ProjectDef): readonly string[] {
  const faults: string[] = []
  const names = new NameTable((_code, message) => faults.push(message))
  const nowhere = { file: '', line: 1, column: 1 }
  for (const { name } of project.streams) names.add('stream', name, nowhere)
  for (const { name } of project.views) names.add('view', name, nowhere)
  const functions = (project.functions ?? []).map(({ name }) => name.toLowerCase())
  const twice = functions.find((name, index) => functions.indexOf(name) !== index)
  if (twice !== undefined) faults.push(`the function "${twice}" is there twice`)
  return faults
}

function streamFaults(sent: StreamDef): readonly string[] {
  const what = `stream "${sent.name}"`
  const faults = objectFaults(sent.schema, what)
  for (const role of ['id', 'key', 'time'] as const) {
    const name = sent[role]
    if (name === undefined) continue
    const found = sent.schema.fields.find((one) => one.name === name)
    if (found === undefined) faults.push(`${what}: ${role} "${name}" is not a field of the schema`)
    else {
      const fault = roleFault(role, found)
      if (fault !== undefined) faults.push(`${what}: ${role} "${name}" ${fault[0]}`)
    }
  }
  return faults
}

/** A path of a reference file that leaves the project's folder is refused where the file is read. */
function batchFaults({ name, batch, late, run }: ViewDef): readonly string[] {
  if (run.kind === 'lambda') return []
  const what =
    batch !== undefined ? 'has two definitions' : late === 'hold' ? 'holds late events back' : undefined
  return what === undefined
    ? []
    : [`view "${name}" ${what} and runs as ${run.kind}, which has no batch layer`]
}

function foldFaults({ name, fold, run }: ViewDef, { streams }: ProjectDef): readonly string[] {
  if (fold === undefined) return []
  const what = `fold "${name}"`
  const faults = objectFaults({ kind: 'object', fields: fold.columns }, what)
  const stream = streams.find((one) => one.name === fold.stream)
  if (stream === undefined) faults.push(`${what} reads stream "${fold.stream}", which is not there`)
  for (const name of fold.reads ?? []) {
    if (stream?.schema.fields.some((one) => one.name === name) === false) {
      faults.push(`${what}: "${name}" among \`reads\` is no field`)
    }
  }
  for (const key of fold.key) {
    const found = stream?.schema.fields.find((one) => one.name === key)
    if (stream !== undefined && found === undefined) faults.push(`${what}: key "${key}" is no field`)
    if (fold.columns.some((one) => one.name.toLowerCase() === key.toLowerCase()))
      faults.push(`${what} has the column "${key}" twice`)
  }
  if (run.kind === 'lambda' && !fold.merges) faults.push(`${what} runs as lambda and has no merge`)
  return faults
}

/** The server runs and reads nothing that its own project's folder does not hold. */
function truthFaults({ name, rule }: CheckDef, own: ProjectDef): readonly string[] {
  if (rule.kind !== 'truth') return []
  const { truth } = rule
  const wanted = truth.kind === 'function' ? truth.file : truth.path
  const inside = !relative(own.root, wanted).startsWith('..') && isAbsolute(wanted)
  const allowed = truth.kind === 'function' ? wanted === own.file : inside
  if (allowed) return []
  const what = truth.kind === 'function' ? 'runs a function of' : 'reads'
  return [
    `check "${name}" ${what} "${wanted}", which is no part of the project that the server was started with`,
  ]
}

function objectFaults({ fields }: ObjectType, what: string): string[] {
  const faults: string[] = []
  const seen = new Set<string>()
  for (const one of fields) {
    for (const name of [one.name, ...(one.aliases ?? [])]) {
      const folded = name.toLowerCase()
      if (seen.has(folded)) faults.push(`${what} has the name "${name}" twice`)
      seen.add(folded)
    }
    faults.push(...fieldFaults(one, `${what} field "${one.name}"`))
  }
  return faults
}

function fieldFaults(one: Field, what: string): readonly string[] {
  const faults = typeFaults(one.type, what)
  if (one.defaultValue === undefined) return faults
  if (one.nullable && one.type.kind !== 'json') faults.push(`${what} has a default and may be null`)
  const writer = compileWriter(one.type)
  if (writer.write(one.defaultValue) === undefined)
    faults.push(`${what}: the default ${writer.fault().clause}`)
  return faults
}

function typeFaults(type: FieldType, what: string): string[] {
  if (type.kind === 'object') return objectFaults(type, what)
  if (type.kind === 'array') return typeFaults(type.element, `${what}[]`)
  return type.kind === 'map' ? typeFaults(type.value, `${what}{}`) : []
}
