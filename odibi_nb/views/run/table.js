// Makes the saved table of a run sortable and filterable, and opens a row's details from its bar.
// Where scripts are taken out, the table is complete without it and its details unfold by themselves.
for (const root of document.querySelectorAll('.odibi-log[data-total]:not(.on)')) {
  root.classList.add('on');
  document.odibiEnd?.(root.dataset.title);
  root.closest('[data-odibi-only]')?.removeAttribute('data-odibi-only');
  const table = root.querySelector('table'), rows = [...table.tBodies], heads = [...table.rows[0].cells];
  const all = +root.dataset.total, some = all > rows.length ? ' (failed and slowest)' : '';
  table.parentNode.insertAdjacentHTML('beforebegin',
    "<p><label>Filter <input type=search title='Rows with this text'></label> " +
    "<label>Status <select title='Rows of this status'><option value=''>all</select></label> " +
    "<span role=status></span> <button title='Save the rows that are shown'>CSV</button>");
  const [words, status, told, save] = table.parentNode.previousSibling.querySelectorAll('input,select,span,button');
  for (const name of new Set(rows.map(row => row.dataset.status))) status.add(new Option(name));
  const filter = () => {
    let shown = 0;
    for (const row of rows)
      shown += !(row.hidden = !row.dataset.status.startsWith(status.value) ||
        !row.textContent.toLowerCase().includes(words.value.toLowerCase()));
    told.textContent = `${shown.toLocaleString('en')} of ${all.toLocaleString('en')} rows${some}`;
  };
  words.oninput = status.onchange = filter;
  filter();
  // Text that a spreadsheet would take for a formula becomes plain text.
  const field = cell => `"${cell.textContent.replace(/^(?=[=+@-])/, "'").replaceAll('"', '""')}"`;
  save.onclick = () => {
    const lines = [table.rows[0], ...[...table.tBodies].filter(row => !row.hidden).map(row => row.rows[0])];
    const text = lines.map(line => [...line.cells].flatMap(c => [field(c), ...Array(c.colSpan - 1)]).join(','));
    const href = URL.createObjectURL(new Blob(["\ufeff" + text.join("\r\n")], {type: "text/csv"}));
    Object.assign(document.createElement('a'), {href, download: `run-${root.dataset.run}.csv`}).click();
  };
  const at = (row, i) => [...row.rows[0].cells].find(cell => (i -= cell.colSpan) < 0);
  const button = (cell, title, onclick) => {
    const made = Object.assign(document.createElement('button'), {title, onclick});
    made.append(...cell.childNodes);
    cell.append(made);
    return made;
  };
  heads.forEach((head, i) => button(head, 'Sort', () => {
    const sign = head.ariaSort == 'ascending' ? -1 : 1;
    for (const one of heads) one.ariaSort = null;
    head.ariaSort = sign > 0 ? 'ascending' : 'descending';
    const key = row => {
      const cell = at(row, i), text = (i == 4 && cell?.title) || cell?.textContent || '';
      return +text.replaceAll(',', '') || text;
    };
    const pairs = rows.map(row => [key(row), row]);
    pairs.sort(([a], [b]) => !a - !b || sign * (a - b || `${a}`.localeCompare(b)));
    table.append(...pairs.map(pair => pair[1]));
  }));
  for (const row of rows) {
    const more = row.querySelector('details');
    if (!more) continue;
    const opener = button(row.rows[0].cells[1], 'Log and traceback', () => more.open = !more.open);
    more.ontoggle = () => opener.ariaExpanded = row.classList.toggle('open', more.open);
    more.ontoggle();
  }
  const select = is => {
    words.value = status.value = '';
    filter();
    const row = rows.find(is);
    if (!row) return told.textContent = 'Not in this table';
    for (const one of rows) one.classList.toggle('hit', one == row);
    const more = row.querySelector('details');
    if (more) more.open = true;
    row.querySelector('button')?.focus();
    row.scrollIntoView({block: 'center'});
  };
  // A picture of this run, perhaps in another output; of several tables of it, the nearest answers.
  const ours = (at, run) => {
    let found;
    for (; run && at && !found; at = at.parentElement)
      found = at.querySelector(`.odibi-log[data-run='${run}']`);
    return found == root;
  };
  document.addEventListener('click', event => {
    const svg = event.target.closest('svg[data-run]');
    if (!svg || !ours(svg, svg.dataset.run)) return;
    const id = event.target.closest('rect,path')?.textContent.split("\n")[0];
    if (id) return select(row => row.rows[0].cells[1].textContent == id);
    const {top, height} = svg.getBoundingClientRect(), [first, each, count] = svg.dataset.rows.split(' ');
    const number = Math.floor(((event.y - top) / height - first) / each);
    if (number >= 0 && number < count) select(row => row.dataset.row == number);
  });
  const clicked = ({points: [{id, y}]}) => select(row => row.dataset.row == (id ?? y));
  document.addEventListener('mousedown', event => {
    const plot = event.target.closest('.js-plotly-plot');
    if (!plot || !ours(plot, plot.layout.meta?.run)) return;
    plot.removeListener('plotly_click', clicked);
    plot.on('plotly_click', clicked);
  }, true);
}
