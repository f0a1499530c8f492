// As many time labels as the window has room for.
const fit = () => Plotly.relayout('forecast', {'xaxis.nticks': Math.max(2, Math.floor(innerWidth / 110))});
addEventListener('resize', fit);
fit();
