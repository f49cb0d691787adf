import datetime as dt, json, random, time, sys
sys.path.insert(0,'/tmp/wt3')
from odibi_nb.views.state import *
from odibi_nb.views.gantt import gantt_of
from odibi_nb.views.gantt_svg import gantt_svg
from odibi_nb.views.gantt_plotly import gantt_plotly
from odibi_nb.views.bundles import *
from odibi_nb.views.html import table_html
UTC=dt.timezone.utc
def fake(n, live=False):
    random.seed(1); t0=dt.datetime(2026,1,1,12,tzinfo=UTC); rows=[]; s=lambda x:t0+dt.timedelta(seconds=x)
    for i in range(n):
        b=i*.1+random.random()*2; e=b+random.random()*3+.2
        st='FAILED' if i%37==5 else 'SUCCESS'
        err='ValueError: no column temperature_c in bronze.sensors' if st=='FAILED' else ''
        rows.append(RowState(id=f'SILVER_{i:04}',layer=['Bronze','Silver_1','Silver_2','Gold_1'][i*4//n],function=f'odibi_functions.clean_sensor_{i%9}',engine='pandas',status=st,attempt=1,start=s(b),end=s(e),duration_seconds=e-b,rows_in=100,rows_out=90,error=err,bars=(Bar(number=1,start=s(b),end=s(e),status=st,error=err,rows_in=100,rows_out=90),)))
    return RunSnapshot(project='Energy Efficiency',env='qat',run_id='20260101-120000-abcdef',status='running' if live else 'failed',start=t0,at=s(n*.1+5),rows=tuple(rows))
if __name__=='__main__':
  for n in (20,200,500,2000):
    s=fake(n); 
    t=time.perf_counter(); g=gantt_of(s); t1=time.perf_counter(); svg=gantt_svg(g); t2=time.perf_counter(); p=gantt_plotly(g); t3=time.perf_counter(); tb=table_html(s); t4=time.perf_counter()
    print(n, 'model %.1f svg %.1f plotly %.1f table %.1f ms'%tuple(1000*x for x in (t1-t,t2-t1,t3-t2,t4-t3)), 'svg',len(svg),'plotly',len(json.dumps(p)),'indented',len(json.dumps(p,indent=1)),'table',len(tb), 'bundles', len(json.dumps([picture_bundle(s),table_bundle(s)],indent=1)))
