/**
 * A stream as a plan reads it. A version goes on after its stream's schema has changed: it reads each field by the
 * name, with the type and with the defaults that it was planned with, whatever name an event has it under.
 * State: what was found for the plans and streams of the moment, because ticks ask for it all the time.
 */

import {
  type Field,
  type FieldType,
  namesOf,
  type ReadField,
  type StreamDef,
  sqlType,
} from '../model/schema.ts'
import type { ViewPlan } from './plan.ts'

/** The fields of a plan's streams that it reads, as they are now; kept with the plan. */
export function fieldsRead(
  plan: Pick<ViewPlan, 'stages' | 'events'>,
  streams: readonly StreamDef[],
): NonNullable<ViewPlan['reads']> {
  return streams.map(({ name, schema }) => {
    const used = new Set(
      plan.stages
        .flatMap(({ source }) => (source.stream === name ? source.fields : []))
        .concat(plan.events?.fields ?? []),
    )
    return { stream: name, fields: schema.fields.filter((field) => used.has(field.name)) }
  })
}

const known = new WeakMap<object, { readonly running: StreamDef; readonly stream: StreamDef }>()

/** The running stream with the plan's fields in place of its own; the others stay as they are. */
export function plannedStream(plan: Pick<ViewPlan, 'reads'>, running: StreamDef): StreamDef {
  const before = known.get(plan)
  if (before?.running === running) return before.stream
  const stream = asRead(plan, running)
  known.set(plan, { running, stream })
  return stream
}

function asRead(plan: Pick<ViewPlan, 'reads'>, running: StreamDef): StreamDef {
  const planned = plan.reads?.find(({ stream }) => stream === running.name)?.fields ?? []
  const current = running.schema.fields
  if (planned.every((field) => current.some((now) => JSON.stringify(now) === JSON.stringify(field)))) {
    return running
  }
  const fields = planned.map((field) => asPlanned(field, current))
  const names = new Set(fields.flatMap(namesOf))
  const others = current.filter((field) => !namesOf(field).some((name) => names.has(name)))
  return { ...running, schema: { kind: 'object', fields: [...fields, ...others] } }
}

function asPlanned(planned: Field, current: readonly Field[]): ReadField {
  const now = current.find((field) => sharesName(field, planned))
  if (now === undefined) return planned
  const names = new Set([...namesOf(planned), ...namesOf(now)])
  names.delete(planned.name)
  const type = typeAsPlanned(planned.type, now.type)
  const widened = isNumber(type) && isNumber(now.type) && sqlType(type) !== sqlType(now.type)
  return {
    ...planned,
    type,
    ...(names.size === 0 ? {} : { aliases: [...names] }),
    ...(widened ? { wider: now.type } : {}),
  }
}

/** The planned type, with the names that fields within have now. */
function typeAsPlanned(planned: FieldType, now: FieldType): FieldType {
  if (planned.kind === 'object' && now.kind === 'object') {
    return { kind: 'object', fields: planned.fields.map((field) => asPlanned(field, now.fields)) }
  }
  if (planned.kind === 'array' && now.kind === 'array')
    return { ...planned, element: typeAsPlanned(planned.element, now.element) }
  if (planned.kind === 'map' && now.kind === 'map')
    return { ...planned, value: typeAsPlanned(planned.value, now.value) }
  return planned
}

function sharesName(a: Field, b: Field): boolean {
  const names = namesOf(b)
  return namesOf(a).some((name) => names.includes(name))
}

function isNumber(type: FieldType): boolean {
  return type.kind === 'integer' || type.kind === 'decimal'
}
