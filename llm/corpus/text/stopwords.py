"""Words that nearly every text of a language has: the commonest that carry no subject.

English: those of Gopher (Rae et al. 2021, A.1.1). Where a script has no spaces they are looked for
anywhere in the text.
"""

STOP_WORDS: dict[str, tuple[str, ...]] = {
    language: tuple(words.split())
    for language, words in {
        "en": "the be to of and that have with",
        "ar": "في من على إلى أن لا ما هذا هذه التي الذي عن مع كل أو لم كان بين",
        "bg": "и в на за от се да не с по че е са като",
        "ca": "de la el i a que en per les els un una amb no",
        "cs": "a v na se je že s z do o pro i to k za by ale",
        "da": "og i at er en det til af på for med der som ikke den har",
        "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es",
        "el": "και το να του της η με από για που την ο τα είναι στο δεν θα",
        "es": "de la que el en y a los se del las un por con no una su para es",
        "et": "ja on ei et see kui ka oma mis aga või ning",
        "fa": "و در به از که این را با است برای آن یک هر یا تا نیز",
        "fi": "ja on ei että se oli joka tai mutta myös kun ovat hän jos",
        "fr": "de la le et les des en un une du que qui dans est pour pas par sur au plus ne",
        "he": "של את על לא כל או אל עם הוא זה היא אדם כי גם",
        "hi": "के का की में है और को से पर ने यह कि एक या भी नहीं",
        "hu": "a az és hogy nem is egy vagy minden van meg de mint ezt",
        "id": "dan yang di untuk dengan dari atau dalam ini itu pada adalah tidak setiap",
        "it": "di e la il che in a per un del le i una con non della è si da sono",
        "ja": "の に は を た が で て と し れ さ ある いる する こと です ます",
        "km": "និង នៃ ក្នុង ជា ដែល មាន បាន ឬ របស់ ដោយ",
        "ko": "및 그 이 수 것 있는 또는 모든 하는 위한 있다 대한 의하여 그리고",
        "lo": "ແລະ ຂອງ ໃນ ທີ່ ເປັນ ມີ ຫຼື ໄດ້ ໂດຍ ບໍ່",
        "lt": "ir į kad su yra bet kaip o iš jo tai ar ne kiekvienas",
        "lv": "un ir ar no uz par vai kas ka ne to katram",
        "my": "သည် ကို များ တွင် နှင့် ၏ မှ ဖြစ် ရှိ",
        "nl": "de het een en van in is dat te op met voor niet zijn aan die er ook",
        "nb": "og i å er en det til av på for med som ikke den har",
        "nn": "og i å er ein det til av på for med som ikkje den har dei",
        "pl": "w i na z do nie się że jest to o a od przez jak po lub ma",
        "pt": "de a o que e do da em um para com não uma os no se na por as",
        "ro": "și de în la a cu pe care nu este din un o să sau are",
        "ru": "и в не на что с по к как это из у за от но для или его он",
        "sk": "a v na sa je že s z do o pre aj to za by ale alebo",
        "sr": "и у на је да се за од са не који као или i u na je da se za od sa",
        "sv": "och i att det som en på är av för med till den inte om har ett",
        "th": "ที่ และ ของ ใน เป็น มี การ ได้ ไม่ จะ ให้ หรือ โดย กับ ว่า นี้",
        "tr": "ve bir bu da de için ile olarak her veya ya olan çok ne",
        "uk": "і в на не що з до у за як та це від або його для",
        "vi": "và của có là không được trong một cho các những với này người",
        "zh": "的 是 在 了 和 有 不 人 我 他 这 為 中 一 与 以 或 之",
    }.items()
}
# Written without spaces between words.
WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "zh")
