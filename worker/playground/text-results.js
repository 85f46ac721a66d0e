/**
 * What was found for each text: its label, scores as bars, and how much each word counts.
 * @module
 */
import { make, percent } from './dom.js';

/** Reasons of the API for no label. */
const REASONS = {
  below: 'its best label is not likely enough',
  out_of_scope: 'out of scope',
  none_holds: 'no label is likelier than not',
  none_fits: 'the large model found that none fits',
};
/** The weight at which a word's colour is strongest. */
const FULL_WEIGHT = 0.5;

/**
 * @param {string[]} texts
 * @param {{ results: object[] }} answer of `POST /v1/classify`
 */
export function textResults(texts, { results }) {
  return results.map((result) => {
    const { label, labels, reason, scores, explanation } = result;
    const given = labels !== undefined && labels.length > 0 ? labels.join(', ') : label;
    const verdict =
      given === null
        ? make('p', { className: 'verdict none' }, `No label: ${REASONS[reason] ?? reason}`)
        : make('p', { className: 'verdict' }, given);
    const text = make('p', { className: 'text' }, texts[result.index]);
    const words = explanation === undefined || explanation.length === 0 ? text : weightedWords(explanation);
    return make(
      'article',
      { className: 'result' },
      words,
      verdict,
      make('dl', { className: 'scores' }, ...scores.map(scoreRow)),
      servedBy(result),
    );
  });
}

function scoreRow({ label, score }) {
  const bar = make('span', { className: 'bar' });
  bar.style.setProperty('--share', score.toFixed(4));
  return make('div', {}, make('dt', {}, ...breakable(label)), make('dd', {}, bar, percent(score)));
}

/** Names are often written as identifiers: they may be broken behind an underscore. */
const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, make('wbr')]);

function weightedWords(explanation) {
  const words = explanation.flatMap(({ word, weight }) => {
    const className = weight < 0 ? 'against' : 'for';
    const mark = make('mark', { className, title: `Counts ${signed(weight)}` }, word);
    mark.style.setProperty('--weight', Math.min(1, Math.abs(weight) / FULL_WEIGHT).toFixed(3));
    return [mark, make('span', { className: 'visually-hidden' }, ` (counts ${signed(weight)})`), ' '];
  });
  return make('p', { className: 'text words' }, ...words);
}

const signed = (weight) => `${weight < 0 ? '−' : '+'}${Math.abs(weight).toFixed(2)}`;

function servedBy({ out_of_scope: outOfScope, served_by: { method, backend, layers } }) {
  const scope = outOfScope === null ? [] : [`out of scope ${percent(outOfScope)}`];
  const read = layers === null ? [] : [layers === 'all' ? 'all layers' : `layers ${layers.join(', ')}`];
  return make('p', { className: 'note' }, [...scope, method.replace('_', '-'), backend, ...read].join(' · '));
}
