/**
 * Which functions a view may call, and what to say about the others. Tables and pure functions; the list of functions
 * itself comes from the engine.
 *
 * A function is fine when its result depends on its arguments alone. DuckDB tells that for most by `stability`; the
 * names below are those whose answer also depends on a session, a setting or a catalog.
 */

import { nearestName } from '../std/nearest-name.ts'
import type { SqlFunction } from './sql-syntax.ts'

export type FunctionVerdict =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'aggregate'; readonly aggregate: MergeableAggregate }
  | { readonly kind: 'unnest' }
  | { readonly kind: 'not-mergeable'; readonly hint: string }
  | { readonly kind: 'volatile'; readonly hint: string }
  | { readonly kind: 'table' }
  | { readonly kind: 'forbidden' }
  | { readonly kind: 'unknown'; readonly nearest?: string }

export type MergeableAggregate = 'count' | 'count_if' | 'sum' | 'avg' | 'min' | 'max' | 'bool_and' | 'bool_or'

const mergeable: Readonly<Record<string, MergeableAggregate>> = {
  count: 'count',
  count_star: 'count',
  count_if: 'count_if',
  countif: 'count_if',
  sum: 'sum',
  avg: 'avg',
  mean: 'avg',
  min: 'min',
  max: 'max',
  bool_and: 'bool_and',
  bool_or: 'bool_or',
}

/** Functions that take a lambda; elsewhere `a -> b` is the JSON operator. */
export const lambdaFunctions: ReadonlySet<string> = new Set(
  ['apply', 'filter', 'reduce', 'transform'].flatMap((name) => [name, `list_${name}`, `array_${name}`]),
)

/** The result depends on the session, a setting, the catalog or the clock, although DuckDB calls some consistent. */
const sessionDependent: ReadonlySet<string> = new Set(
  (
    'ago current_catalog current_localtime current_localtimestamp current_role current_setting current_time ' +
    'current_timestamp current_user get_block_size getenv getvariable localtime localtimestamp session_user ' +
    'user version json_serialize_plan pg_typeof_session'
  ).split(' '),
)

/** Functions over text that stands for SQL, a file or an extension: nothing a fold needs. */
const forbidden: ReadonlySet<string> = new Set(
  'json_serialize_sql json_deserialize_sql json_execute_serialized_sql json_serialize_plan error'.split(' '),
)

/** Macros that are plain functions of their arguments. All other macros are refused. */
export const pureMacros: ReadonlySet<string> = new Set(
  (
    'array_append array_pop_back array_pop_front array_prepend array_push_back array_push_front array_reverse ' +
    'array_to_string array_to_string_comma_default date_add days_in_month fdiv fmod json list_any_value ' +
    'list_append list_approx_count_distinct list_avg list_bit_and list_bit_or list_bit_xor list_bool_and ' +
    'list_bool_or list_count list_entropy list_first list_histogram list_kurtosis list_kurtosis_pop list_last ' +
    'list_mad list_max list_median list_min list_mode list_prepend list_product list_reverse list_sem ' +
    'list_skewness list_stddev_pop list_stddev_samp list_string_agg list_sum list_var_pop list_var_samp ' +
    'map_contains_entry map_contains_value md5_number_lower md5_number_upper nullif round_even roundbankers ' +
    'split_part'
  ).split(' '),
)

/** Macros whose body aggregates. */
export const aggregateMacros: ReadonlySet<string> = new Set(
  'geomean geometric_mean json_group_array json_group_object json_group_structure wavg weighted_avg'.split(
    ' ',
  ),
)

/** Names that DuckDB takes for calls when there is no column of that name. */
export const valueNames: ReadonlySet<string> = new Set(
  (
    'current_catalog current_date current_role current_schema current_time current_timestamp current_user ' +
    'localtime localtimestamp session_user user'
  ).split(' '),
)

export const OWN_TIME =
  "A view must give the same rows whenever it is folded: use the event's own time, e.g. its time field."

const insteadOf: Readonly<Record<string, string>> = {
  approx_count_distinct:
    'Use count(DISTINCT x), which is exact; sketches with a stated error are not there yet.',
  median:
    'Count per bucket of the value instead, e.g. GROUP BY floor(x / 10), and read the median from the buckets.',
  quantile: 'Count per bucket of the value instead, and read the quantile from the buckets.',
  mode: 'Group by the value as well and take the largest count with ORDER BY count(*) DESC LIMIT 1.',
  first: 'The order of events is not an order of rows: use min(x) or max(x).',
  last: 'The order of events is not an order of rows: use min(x) or max(x).',
  any_value: 'Which value is taken would be left to chance: use min(x) or max(x).',
  arbitrary: 'Which value is taken would be left to chance: use min(x) or max(x).',
  list: 'Add x to GROUP BY, so that each value is a row of its own.',
  array_agg: 'Add x to GROUP BY, so that each value is a row of its own.',
  string_agg: 'Add x to GROUP BY, so that each value is a row of its own.',
  arg_max: 'Use max({key: by, value: x}).value: the greatest pair, with ties broken by the value.',
  arg_min: 'Use min({key: by, value: x}).value: the smallest pair, with ties broken by the value.',
  stddev: 'Keep count(*), sum(x) and sum(x * x) of a DECIMAL x, and compute the deviation from them.',
  histogram: 'Add x to GROUP BY and use count(*).',
  product: 'Use exp(sum(ln(x))) where an approximation will do.',
  kahan_sum: 'Cast x to a DECIMAL and use sum(x), which is exact.',
}

const familyOf: Readonly<Record<string, string>> = {
  listagg: 'string_agg',
  group_concat: 'string_agg',
  max_by: 'arg_max',
  argmax: 'arg_max',
  min_by: 'arg_min',
  argmin: 'arg_min',
  fsum: 'kahan_sum',
  sumkahan: 'kahan_sum',
  favg: 'kahan_sum',
  sum_no_overflow: 'kahan_sum',
  mad: 'median',
  stddev_pop: 'stddev',
  stddev_samp: 'stddev',
  variance: 'stddev',
  var_pop: 'stddev',
  var_samp: 'stddev',
  sem: 'stddev',
  quantile_cont: 'quantile',
  quantile_disc: 'quantile',
  approx_quantile: 'quantile',
  reservoir_quantile: 'quantile',
  histogram_exact: 'histogram',
}

/** The engine's functions by name and kind. */
export class FunctionNames {
  readonly #kinds = new Map<string, Set<SqlFunction['kind']>>()

  constructor(functions: readonly SqlFunction[]) {
    for (const { name, kind } of functions) {
      const kinds = this.#kinds.get(name) ?? new Set()
      this.#kinds.set(name, kinds.add(kind))
    }
  }

  has(name: string): boolean {
    return this.#kinds.has(name)
  }

  isA(name: string, ...kinds: readonly SqlFunction['kind'][]): boolean {
    return kinds.some((kind) => this.#kinds.get(name)?.has(kind))
  }

  /** The usual ones first, so that they win among names that are equally near. */
  all(): readonly string[] {
    return [...Object.keys(mergeable), ...this.#kinds.keys()]
  }
}

/** What the planner makes of calls, for the functions that the engine knows. */
export class FunctionRules {
  readonly #names: FunctionNames
  readonly #volatile = new Set<string>()

  constructor(functions: readonly SqlFunction[]) {
    this.#names = new FunctionNames(functions)
    for (const { name, stability } of functions) {
      if (stability === 'VOLATILE' || stability === 'CONSISTENT_WITHIN_QUERY') this.#volatile.add(name)
    }
  }

  verdict(name: string, argumentCount: number, schema: string): FunctionVerdict {
    if (schema !== '' && schema !== 'main') return { kind: 'forbidden' }
    if (name === 'unnest') return { kind: 'unnest' }
    if (forbidden.has(name)) return { kind: 'forbidden' }
    if (this.#isVolatile(name, argumentCount)) return { kind: 'volatile', hint: OWN_TIME }
    const aggregate = mergeable[name]
    if (aggregate !== undefined) return { kind: 'aggregate', aggregate }
    if (!this.#names.has(name)) {
      const nearest = nearestName(name, this.#names.all())
      return { kind: 'unknown', ...(nearest === undefined ? {} : { nearest }) }
    }
    if (this.#names.isA(name, 'aggregate') || aggregateMacros.has(name)) {
      return { kind: 'not-mergeable', hint: hintFor(name) }
    }
    if (this.#names.isA(name, 'scalar') || pureMacros.has(name)) return { kind: 'scalar' }
    return { kind: this.#names.isA(name, 'macro') ? 'forbidden' : 'table' }
  }

  #isVolatile(name: string, argumentCount: number): boolean {
    if (this.#volatile.has(name) || sessionDependent.has(name)) return true
    return name === 'age' && argumentCount === 1
  }
}

function hintFor(name: string): string {
  const family = familyOf[name] ?? name
  return (
    insteadOf[family] ??
    'Partial results can be combined for count, sum, avg, min, max, bool_and, bool_or and their DISTINCT forms: use these.'
  )
}
