/** Turns what `stream` was given into a `StreamDef`, reporting every mistake with its place. No state. */

import type { Compatibility, Field, ObjectType, RetentionDef, StreamDef } from '../model/schema.ts'
import { nearestName } from '../std/nearest-name.ts'
import { lowerSchema } from './lower.ts'
import type { CallSite } from './places.ts'
import type { Refuse } from './refuse.ts'
import { withAliases } from './resolve-aliases.ts'
import { type SettingReader, settingReader } from './settings.ts'
import type { StreamSpec } from './spec.ts'

type Role = 'id' | 'key' | 'time'

export function resolveStream(spec: StreamSpec, call: CallSite, refuse: Refuse): StreamDef | undefined {
  const what = `stream "${String(spec.name)}"`
  const read = settingReader(spec, (path, message, hint) => {
    refuse('PROJECT_SETTING', `${what}: "${path.join('.')}": ${message}`, call.option(path), hint)
  })
  const settings = {
    partitions: read.count(['partitions'], 4, 1, 1024),
    dedupe: {
      timeMs: read.duration(['dedupe', 'window'], 86_400_000, 0),
      count: read.count(['dedupe', 'count'], 10_000_000, 0, 1_000_000_000),
    },
    latenessMs: read.duration(['lateness'], 0, 0),
    ...compatibilityOf(spec, call, refuse),
    ...retentionOf(spec, read),
  }
  if (spec.schema === undefined) {
    refuse('STREAM_SCHEMA', `${what} has no schema`, call.place, 'Give it `schema: z.object({ … })`.')
    return undefined
  }
  const lowered = lowerSchema(spec.schema, (path, message, hint) => {
    const place = path.length === 0 ? call.option(['schema']) : call.field(path)
    const field = path.length === 0 ? '' : ` field "${pathText(path)}":`
    refuse('STREAM_SCHEMA', `${what}:${field} ${message}`, place, hint)
  })
  if (lowered === undefined) return undefined
  const schema = withAliases(lowered, spec.aliases, (key, message, hint) => {
    refuse('STREAM_SCHEMA', `${what}: ${message}`, call.option(['aliases', key]), hint)
  })
  const known = Object.keys(spec.schema.shape ?? {})
  for (const role of ['id', 'key', 'time'] as const) checkRole(spec, role, schema, known, call, refuse)
  const { id, key, time } = spec
  return {
    name: spec.name,
    schema,
    ...(id === undefined ? {} : { id }),
    ...(key === undefined ? {} : { key }),
    ...(time === undefined ? {} : { time }),
    ...settings,
  }
}

const compatibilities: readonly Compatibility[] = ['backward', 'forward', 'full', 'none']

/** Nothing for the default, so that a stream that says nothing looks as it always did. */
function compatibilityOf(
  { name, compatibility }: StreamSpec,
  call: CallSite,
  refuse: Refuse,
): { readonly compatibility?: Compatibility } {
  if (compatibility === undefined || compatibility === 'backward') return {}
  if (compatibilities.includes(compatibility)) return { compatibility }
  const hint = `Use ${compatibilities.map((one) => `"${one}"`).join(', ')}, or leave it out for "backward".`
  const message = `stream "${name}": compatibility ${JSON.stringify(compatibility)} is not known`
  refuse('PROJECT_SETTING', message, call.option(['compatibility']), hint)
  return {}
}

/** Nothing where nothing is limited, so that a stream that keeps everything looks as it always did. */
function retentionOf(spec: StreamSpec, read: SettingReader): { readonly retention?: RetentionDef } {
  const { retention } = spec
  if (retention === undefined) return {}
  const { lake } = retention
  const whole = typeof lake !== 'object' || lake === null
  const age = whole ? ['retention', 'lake'] : ['retention', 'lake', 'age']
  const ageMs = read.duration(age, 0, 1000)
  const bytes = whole ? 0 : read.size(['retention', 'lake', 'bytes'], 0, 1)
  const hotMs = read.duration(['retention', 'hot'], 0, 0)
  const promote = whole || read.flag(['retention', 'lake', 'promote'], true)
  const limits = { ...(ageMs === 0 ? {} : { ageMs }), ...(bytes === 0 ? {} : { bytes }) }
  const cold = ageMs === 0 && bytes === 0 ? {} : { lake: { ...limits, promote } }
  return hotMs === 0 && ageMs === 0 && bytes === 0
    ? {}
    : { retention: { ...(hotMs === 0 ? {} : { hotMs }), ...cold } }
}

function checkRole(
  spec: StreamSpec,
  role: Role,
  schema: ObjectType,
  known: readonly string[],
  call: CallSite,
  refuse: Refuse,
): void {
  const name: unknown = spec[role]
  if (name === undefined) return
  const what = `stream "${spec.name}"`
  const place = call.option([role])
  if (typeof name !== 'string' || !known.includes(name)) {
    const nearest = typeof name === 'string' ? nearestName(name, known) : undefined
    const hint = nearest === undefined ? `Fields: ${known.join(', ')}.` : `Did you mean "${nearest}"?`
    refuse(
      'STREAM_FIELD',
      `${what}: ${role} ${JSON.stringify(name)} is not a field of the schema`,
      place,
      hint,
    )
    return
  }
  const field = schema.fields.find((candidate) => candidate.name === name)
  // a field that could not be lowered has its own mistake
  if (field === undefined) return
  const fault = roleFault(role, field)
  if (fault !== undefined) refuse('STREAM_FIELD', `${what}: ${role} "${name}" ${fault[0]}`, place, fault[1])
}

const scalarKinds = ['string', 'integer', 'decimal', 'uuid', 'date', 'timestamp', 'boolean']
const idKinds = ['string', 'integer', 'uuid']

/** Why a field cannot have this role, and what to do; undefined when it can. */
export function roleFault(role: Role, field: Field): readonly [string, string] | undefined {
  const { kind } = field.type
  const mayMiss = field.optional || field.nullable || field.defaultValue !== undefined
  if (role === 'time') {
    if (kind !== 'timestamp') return ['is not a timestamp', 'Use a field declared as z.iso.datetime().']
    return mayMiss ? ['may be missing or null', 'Event time must be in every event.'] : undefined
  }
  if (role === 'id') {
    if (!idKinds.includes(kind)) return [`is of kind ${kind}`, 'An id is a string, an integer or a UUID.']
    return mayMiss ? ['may be missing or null', 'An id must be in every event.'] : undefined
  }
  return scalarKinds.includes(kind)
    ? undefined
    : [`is of kind ${kind}`, 'A key is a text, a number, a UUID, a date or a boolean.']
}

function pathText(path: readonly string[]): string {
  return path.join('.').replaceAll('.[]', '[]').replaceAll('.{}', '{}')
}
