/**
 * How each aggregate of a view is kept in partial rows and read from the merged ones. State: the registry of partial
 * columns and distinct parts of one stage, filled while its expressions are planned; equal ones are kept once.
 *
 * The value of an aggregate is an expression over "$merged" of exactly the type that DuckDB gives the
 * aggregate itself, so that expressions over it keep their types. `avg(x)` is `sum(x) / count(x)`: the exact sum,
 * then one division of doubles, which is what that expression gives in DuckDB over the original events.
 */

import { must } from '../std/assert.ts'
import type { MergeableAggregate } from './function-rules.ts'
import type { Mistakes } from './mistakes.ts'
import type { Column, DistinctResult, PartialColumn } from './plan.ts'
import type { SqlNode } from './sql-syntax.ts'
import { isDecimal, isFloat, isSmallInteger, storageType } from './storage-types.ts'
import { call, castTo, mergedRef } from './syntax-tree.ts'

/** One aggregate call with what is known of it. */
export interface AggregateCall {
  readonly node: SqlNode
  readonly name: MergeableAggregate
  readonly distinct: boolean
  /** SQL and type of the argument; undefined for count(*). */
  readonly argument: Column | undefined
  /** SQL of the FILTER condition, '' without. */
  readonly filterSql: string
  /** DuckDB's type of the call. */
  readonly type: string
}

export interface AggregateValue {
  /** Expression over "$merged". */
  readonly expression: SqlNode
  readonly type: string
  /** Why the value is not exact, when it is not. */
  readonly inexact?: string
}

export interface DistinctDraft {
  readonly name: string
  readonly argument: Column
  readonly filterSql: string
  readonly storage: string
  readonly results: DistinctResult[]
}

/** A partial column with the SQL that folds it. */
export interface PartialDraft extends PartialColumn {
  readonly sql: string
}

const INEXACT_SUM =
  'a sum of DOUBLE depends on the order of addition: relative error up to 1e-9; cast to DECIMAL for an exact one'

export class AggregateRegistry {
  readonly partials: PartialDraft[] = []
  readonly distinct: DistinctDraft[] = []
  readonly #mistakes: Mistakes
  /** Types that casts in the values use, by name. */
  readonly #castTypes: ReadonlyMap<string, unknown>

  constructor(mistakes: Mistakes, castTypes: ReadonlyMap<string, unknown>) {
    this.#mistakes = mistakes
    this.#castTypes = castTypes
  }

  /** The value of a call; undefined when its type cannot be kept, which is then among the mistakes. */
  value(aggregate: AggregateCall): AggregateValue | undefined {
    const ignoresDuplicates = ['min', 'max', 'bool_and', 'bool_or'].includes(aggregate.name)
    if (aggregate.distinct && !ignoresDuplicates && aggregate.argument !== undefined) {
      return this.#distinctValue(aggregate, aggregate.argument)
    }
    switch (aggregate.name) {
      case 'count':
      case 'count_if': {
        const argument = aggregate.argument?.name ?? '*'
        const sql = `${aggregate.name}(${argument})`
        return this.#plain(aggregate, { sql, merge: 'sum', type: 'BIGINT', emptySql: '0' })
      }
      case 'sum':
        return this.#sum(aggregate)
      case 'avg':
        return this.#average(aggregate)
      case 'min':
      case 'max':
        return this.#extreme(aggregate, aggregate.name)
      default: {
        const argument = must(aggregate.argument, 'bool aggregates have an argument').name
        const sql = `${aggregate.name}(${argument})`
        return this.#plain(aggregate, { sql, merge: aggregate.name, type: 'BOOLEAN', emptySql: 'NULL' })
      }
    }
  }

  #plain(aggregate: AggregateCall, partial: Omit<PartialDraft, 'name'>): AggregateValue {
    const column = this.#partial(partial, aggregate.filterSql)
    return { expression: this.#typed(column, partial.type, aggregate.type), type: aggregate.type }
  }

  #sum(aggregate: AggregateCall): AggregateValue | undefined {
    const argument = must(aggregate.argument, 'sum has an argument')
    const type = this.#sumType(aggregate, argument)
    if (type === undefined) return undefined
    const value = this.#plain(aggregate, sumPartial(argument, type))
    return isFloat(argument.type) ? { ...value, inexact: INEXACT_SUM } : value
  }

  #average(aggregate: AggregateCall): AggregateValue | undefined {
    const argument = must(aggregate.argument, 'avg has an argument')
    const type = this.#sumType(aggregate, argument)
    if (type === undefined) return undefined
    const sum = this.#partial(sumPartial(argument, type), aggregate.filterSql)
    const count = this.#partial(
      { sql: `count(${argument.name})`, merge: 'sum', type: 'BIGINT', emptySql: '0' },
      aggregate.filterSql,
    )
    const dividend = this.#typed(sum, type, sumTypeOf(argument.type))
    return this.#quotient(aggregate, argument, dividend, count)
  }

  #quotient(
    aggregate: AggregateCall,
    argument: Column,
    dividend: SqlNode,
    divisor: SqlNode,
  ): AggregateValue | undefined {
    if (aggregate.type !== 'DOUBLE') return this.#refuse(aggregate, argument)
    const expression = call('/', [dividend, divisor], true)
    return { expression, type: 'DOUBLE', ...(isFloat(argument.type) ? { inexact: INEXACT_SUM } : {}) }
  }

  #extreme(aggregate: AggregateCall, name: 'min' | 'max'): AggregateValue | undefined {
    const argument = must(aggregate.argument, 'min and max have an argument')
    if (storageType(argument.type) !== argument.type) return this.#refuse(aggregate, argument)
    const sql = `${name}(${withoutMinusZero(argument)})`
    return this.#plain(aggregate, { sql, merge: name, type: argument.type, emptySql: 'NULL' })
  }

  #distinctValue(aggregate: AggregateCall, argument: Column): AggregateValue | undefined {
    const storage = storageType(argument.type)
    const isSum = aggregate.name === 'sum' || aggregate.name === 'avg'
    const sumType = isSum ? this.#sumType(aggregate, argument) : undefined
    if (storage === undefined) return this.#refuse(aggregate, argument)
    if (isSum && sumType === undefined) return undefined
    const part = this.#distinctPart(argument, aggregate.filterSql, storage)
    const count = (): SqlNode => this.#result(part, { sql: 'count(v)', type: 'BIGINT', emptySql: '0' })
    if (sumType === undefined) return { expression: count(), type: 'BIGINT' }
    const sum = this.#result(part, { sql: 'sum(v)', type: sumType, emptySql: `CAST(NULL AS ${sumType})` })
    const typed = this.#typed(sum, sumType, sumTypeOf(argument.type))
    if (aggregate.name === 'avg') return this.#quotient(aggregate, argument, typed, count())
    const inexact = isFloat(argument.type) ? { inexact: INEXACT_SUM } : {}
    return { expression: typed, type: aggregate.type, ...inexact }
  }

  #sumType(aggregate: AggregateCall, argument: Column): string | undefined {
    if (isSmallInteger(argument.type)) return 'DECIMAL(38,0)'
    if (isDecimal(argument.type) || isFloat(argument.type)) return sumTypeOf(argument.type)
    this.#refuse(aggregate, argument)
    return undefined
  }

  #refuse(aggregate: AggregateCall, argument: Column): undefined {
    const isSum = aggregate.name === 'sum' || aggregate.name === 'avg'
    this.#mistakes.add({
      code: 'VIEW_TYPE',
      message: `${aggregate.name} over ${argument.type} has no exact partial result`,
      hint: isSum
        ? 'Cast the argument to BIGINT or to a DECIMAL.'
        : 'Cast the argument to a type that is kept exactly, e.g. DECIMAL(38,0), TIMESTAMP or VARCHAR.',
      at: aggregate.node,
    })
    return undefined
  }

  #partial(draft: Omit<PartialDraft, 'name'>, filterSql: string): SqlNode {
    const filtered = filterSql === '' ? draft.sql : `${draft.sql} FILTER (WHERE ${filterSql})`
    const sql =
      draft.merge === 'sum' && draft.type !== 'BIGINT' ? `CAST(${filtered} AS ${draft.type})` : filtered
    const known = this.partials.find((partial) => partial.sql === sql)
    if (known !== undefined) return mergedRef(known.name)
    const name = `a${this.partials.length}`
    this.partials.push({ ...draft, sql, name })
    return mergedRef(name)
  }

  #distinctPart(argument: Column, filterSql: string, storage: string): DistinctDraft {
    const known = this.distinct.find(
      (part) => part.argument.name === argument.name && part.filterSql === filterSql,
    )
    if (known !== undefined) return known
    const part = { name: `d${this.distinct.length}`, argument, filterSql, storage, results: [] }
    this.distinct.push(part)
    return part
  }

  #result(part: DistinctDraft, draft: Omit<DistinctResult, 'name'>): SqlNode {
    const known = part.results.find((result) => result.sql === draft.sql)
    if (known !== undefined) return mergedRef(known.name)
    const name = `${part.name}_${part.results.length}`
    part.results.push({ ...draft, name })
    return mergedRef(name)
  }

  #typed(expression: SqlNode, from: string, to: string): SqlNode {
    if (from === to) return expression
    return castTo(expression, must(this.#castTypes.get(to), `the type ${to} was parsed`))
  }
}

function sumPartial(argument: Column, type: string): Omit<PartialDraft, 'name'> {
  return { sql: `sum(${argument.name})`, merge: 'sum', type, emptySql: 'NULL' }
}

/** DuckDB's type of sum(x). */
export function sumTypeOf(type: string): string {
  if (isSmallInteger(type)) return 'HUGEINT'
  if (isDecimal(type)) return `DECIMAL(38,${type.slice(type.indexOf(',') + 1, -1).trim()})`
  return 'DOUBLE'
}

/** -0.0 and 0.0 are equal, so which of them a group shows would depend on the division into ticks: show 0.0. */
export function withoutMinusZero(expression: Column): string {
  return isFloat(expression.type) ? `(${expression.name} + CAST(0 AS ${expression.type}))` : expression.name
}
